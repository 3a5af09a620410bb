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
	// maxKeptMemory bounds the kept files that are in memory, in bytes.
	maxKeptMemory = 64 << 20
	// defaultTempBytes bounds the files of all exports that are not in memory.
	defaultTempBytes = 2 << 30
	// fileVersion is part of every etag: it changes when the same runs make
	// another file.
	fileVersion = 2
)

// keptFile is the file of an export of runs that have ended. It is made once;
// whoever asks for it meanwhile waits.
type keptFile struct {
	etag    string
	made    chan struct{} // closed when it is made, or has failed
	err     error
	header  *runicornapiv1.FileHeader
	missing []string
	// limitations are those of the trailer.
	limitations []string
	content     *spool
	users       int
	used        time.Time // when the last user left
}

// keptFiles are the files of exports that are kept for ranges and repeated
// requests. It is safe for concurrent use.
type keptFiles struct {
	mu    sync.Mutex
	files map[string]*keptFile // by etag
}

func newKeptFiles() *keptFiles {
	return &keptFiles{files: map[string]*keptFile{}}
}

// open returns the file of an etag, which it makes if there is none. The file
// must be released. A caller that waits for another one makes it itself if that
// one leaves.
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
		_ = k.release(f) // which forgets it
		if builds || ctx.Err() != nil || !isCallersEnd(f.err) {
			return nil, f.err
		}
	}
}

// make builds the file. If that panics, those who wait get an error, and the next
// caller builds it anew.
func (k *keptFiles) make(f *keptFile, build func(*keptFile) error) {
	returned := false
	defer func() {
		close(f.made)
		if !returned {
			_ = k.release(f) // which forgets it
		}
	}()
	f.err = errNotMade
	f.err = build(f)
	returned = true
}

var errNotMade = errors.New("the file of the export was not made")

// join returns the file and whether the caller is to make it.
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

// release gives a file back. It is forgotten when it was not used for a while,
// and at once if it could not be made.
func (k *keptFiles) release(f *keptFile) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	if isMade(f) && f.err != nil {
		return k.forget(f)
	}
	f.used = time.Now()
	for k.memory() > maxKeptMemory && k.forgetOldest(false) {
	}
	time.AfterFunc(keptFor, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if f.users == 0 && time.Since(f.used) >= keptFor {
			_ = k.forget(f) // its place in the temporary folder is gone already
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

// forget closes a file that nobody uses. The lock is held.
func (k *keptFiles) forget(f *keptFile) error {
	if k.files[f.etag] != f {
		return nil
	}
	delete(k.files, f.etag)
	if f.content == nil {
		return nil
	}
	return f.content.Close()
}

// makeRoom forgets the file on disk that was not used for the longest time, and
// reports whether there was one.
func (k *keptFiles) makeRoom() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.forgetOldest(true)
}

// memory is what the files in memory take. The lock is held.
func (k *keptFiles) memory() (bytes int) {
	for _, f := range k.files {
		if isMade(f) && f.content != nil {
			bytes += f.content.memory.Len()
		}
	}
	return bytes
}

// forgetOldest is makeRoom for files on disk or in memory. The lock is held.
func (k *keptFiles) forgetOldest(onDisk bool) bool {
	var oldest *keptFile
	for _, f := range k.files {
		if f.users == 0 && isMade(f) && f.content != nil && f.content.onDisk() == onDisk && (oldest == nil || f.used.Before(oldest.used)) {
			oldest = f
		}
	}
	if oldest == nil {
		return false
	}
	_ = k.forget(oldest) // as above
	return true
}

// isCallersEnd reports whether a file was not made because its maker left.
func isCallersEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fileSink is where the bytes of an export go: to a client or into a spool.
type fileSink interface {
	io.Writer
	Begin(header *runicornapiv1.FileHeader)
	Finish(missing, limitations []string) error
}

// keptSink makes a file to be kept.
type keptSink struct {
	*spool
	file *keptFile
}

func (s *keptSink) Begin(header *runicornapiv1.FileHeader) { s.file.header = header }

func (s *keptSink) Finish(missing, limitations []string) error {
	s.file.missing, s.file.limitations = missing, limitations
	return nil
}

// sendMade sends a file that is made as a whole before, from an offset on: that of
// runs that have ended is kept. It reports false, and sends no bytes, if the file of
// runs that grow, which has neither size nor etag, can be sent as it is made.
func (j *exporter) sendMade(ctx context.Context, req *runicornapiv1.ExportExperimentRequest, to *filestream.Sender) (_ bool, err error) {
	etag, err := j.fingerprint(ctx, req)
	if err != nil {
		return true, err
	}
	if want := req.GetIfMatch(); want != etag && want != "" && want != filestream.AnyETag {
		return true, filestream.ChangedError(nil)
	}
	if etag == "" && req.GetIfMatch() == filestream.AnyETag { // who wants to know only whether there are ranges need not wait for the file
		to.Begin(j.header(nil))
		to.Flush()
	}
	var f *keptFile
	switch {
	case etag != "":
		f, err = j.service.kept.open(ctx, etag, func(f *keptFile) error { return j.build(ctx, f) })
		if err == nil {
			defer func() { _ = j.service.kept.release(f) }() // as in open
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
		if f.content == nil { // also if it panics
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
