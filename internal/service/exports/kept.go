package exports

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
)

const (
	// keptFor is how long the file of an export is kept after its last use.
	keptFor = 5 * time.Minute
	// maxKeptMemory is the maximum total size in bytes of the kept files in memory.
	maxKeptMemory = 64 << 20
	// defaultTempBytes is the default of Config.TempBytes.
	defaultTempBytes = 2 << 30
	// fileVersion is part of every etag. It must be changed whenever the same runs give
	// another file.
	fileVersion = 2
)

// keptFile is the file of an export of runs that have ended. It is made once; concurrent
// callers wait for it.
type keptFile struct {
	etag    string
	made    chan struct{} // closed when it is made, or has failed
	err     error
	header  *runicornapiv1.FileHeader
	missing []string
	// limitations are part of the trailer.
	limitations []string
	content     *spool
	users       int
	used        time.Time // when the last user left
}

// keptFiles holds files of exports for ranges and repeated requests. It is safe for
// concurrent use.
type keptFiles struct {
	mu    sync.Mutex
	files map[string]*keptFile // by etag
}

func newKeptFiles() *keptFiles {
	return &keptFiles{files: map[string]*keptFile{}}
}

// open returns the file for an etag, and makes it if necessary. The caller must release
// the file. A caller that waits for another one makes the file itself if that one leaves.
func (k *keptFiles) open(ctx context.Context, etag string, build func(*keptFile) error) (*keptFile, error) {
	for {
		f, builds := k.join(etag)
		if builds {
			k.make(f, build)
		}
		select {
		case <-f.made:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), k.release(f))
		}
		if f.err == nil {
			return f, nil
		}
		_ = k.release(f) // which also drops it
		if builds || ctx.Err() != nil || !isCallersEnd(f.err) {
			return nil, f.err
		}
	}
}

// make builds the file. If that panics, the waiting callers get an error, and the next
// caller builds the file again.
func (k *keptFiles) make(f *keptFile, build func(*keptFile) error) {
	returned := false
	defer func() {
		close(f.made)
		if !returned {
			_ = k.release(f) // which also drops it
		}
	}()
	f.err = errNotMade
	f.err = build(f)
	returned = true
}

var errNotMade = errors.New("the file of the export was not made")

// join returns the file, and whether the caller has to make it.
func (k *keptFiles) join(etag string) (f *keptFile, builds bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f = k.files[etag]
	if builds = f == nil; builds {
		f = &keptFile{etag: etag, made: make(chan struct{})}
		k.files[etag] = f
	}
	f.users++
	return f, builds
}

// release ends the use of a file. The file is dropped after keptFor, or immediately if it
// could not be made.
func (k *keptFiles) release(f *keptFile) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	if isMade(f) && f.err != nil {
		return k.drop(f)
	}
	f.used = time.Now()
	for k.memory() > maxKeptMemory && k.evictOldest(false) {
	}
	time.AfterFunc(keptFor, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if f.users == 0 && time.Since(f.used) >= keptFor {
			_ = k.drop(f) // the file is already removed from its directory
		}
	})
	return nil
}

func isMade(f *keptFile) bool {
	select {
	case <-f.made:
		return true
	default:
		return false
	}
}

// drop closes an unused file. The caller holds the lock.
func (k *keptFiles) drop(f *keptFile) error {
	if k.files[f.etag] != f {
		return nil
	}
	delete(k.files, f.etag)
	if f.content == nil {
		return nil
	}
	return f.content.Close()
}

// freeSpace drops the file on disk whose last use is the longest ago, and reports whether
// there was one.
func (k *keptFiles) freeSpace() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.evictOldest(true)
}

// memory returns the total size in bytes of the files in memory. The caller holds the
// lock.
func (k *keptFiles) memory() (bytes int) {
	for _, f := range k.files {
		if isMade(f) && f.content != nil {
			bytes += f.content.memory.Len()
		}
	}
	return bytes
}

// evictOldest is freeSpace for files on disk or in memory. The caller holds the lock.
func (k *keptFiles) evictOldest(onDisk bool) bool {
	var oldest *keptFile
	for _, f := range k.files {
		if f.users == 0 && isMade(f) && f.content != nil && f.content.onDisk() == onDisk && (oldest == nil || f.used.Before(oldest.used)) {
			oldest = f
		}
	}
	if oldest == nil {
		return false
	}
	_ = k.drop(oldest) // see release
	return true
}

// isCallersEnd reports whether a file was not made because its caller left.
func isCallersEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fileSink receives the bytes of an export: a client's stream or a spool.
type fileSink interface {
	io.Writer
	Begin(header *runicornapiv1.FileHeader)
	Finish(missing, limitations []string) error
}

// keptSink writes a file that is kept.
type keptSink struct {
	*spool
	file *keptFile
}

func (s *keptSink) Begin(header *runicornapiv1.FileHeader) { s.file.header = header }

func (s *keptSink) Finish(missing, limitations []string) error {
	s.file.missing, s.file.limitations = missing, limitations
	return nil
}

// sendMade sends a file that is made as a whole before it is sent, from the requested
// offset on. The file of runs that have ended is kept. It returns false, and sends no
// bytes, if the file can be sent while it is made: a file of growing runs has neither
// size nor etag.
func (j *exporter) sendMade(ctx context.Context, req *runicornapiv1.ExportExperimentRequest, to *filestream.Sender) (_ bool, err error) {
	etag, err := j.fingerprint(ctx, req)
	if err != nil {
		return true, err
	}
	if want := req.GetIfMatch(); want != etag && want != "" && want != filestream.AnyETag {
		return true, filestream.ChangedError(nil)
	}
	if etag == "" && req.GetIfMatch() == filestream.AnyETag { // the caller only wants to know whether ranges are possible
		to.Begin(j.header(nil))
		to.Flush()
	}
	var f *keptFile
	switch {
	case etag != "":
		f, err = j.service.kept.open(ctx, etag, func(f *keptFile) error { return j.build(ctx, f) })
		if err == nil {
			defer func() { _ = j.service.kept.release(f) }() // see open
		}
	case j.spooled() != nil:
		f = &keptFile{}
		if err = j.build(ctx, f); err == nil {
			defer func() { err = errors.Join(err, f.content.Close()) }()
		}
	default:
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if req.GetOffset() > f.content.size {
		return true, filestream.ChangedError(restclient.ErrFileTruncated)
	}
	header := proto.CloneOf(f.header)
	header.SizeBytes, header.Etag, header.Offset = &f.content.size, etag, req.GetOffset()
	to.Begin(header)
	if err := to.SendAll(f.content.from(req.GetOffset())); err != nil {
		return true, err
	}
	return true, to.Finish(f.missing, f.limitations)
}

// build makes the file.
func (j *exporter) build(ctx context.Context, f *keptFile) (err error) {
	sink := &keptSink{spool: &spool{space: j.service.space}, file: f}
	defer func() {
		if f.content == nil { // also after a panic
			err = errors.Join(err, sink.Close())
		}
	}()
	if write := j.spooled(); write != nil {
		err = j.service.makeMerged(func() error {
			schema, err := write(ctx, sink.spool)
			if err == nil {
				sink.Begin(j.header(schema))
				err = sink.Finish(j.missing, j.limitations)
			}
			return err
		})
	} else {
		err = j.send(ctx, sink)
	}
	if err == nil {
		f.content = sink.spool
	}
	return err
}
