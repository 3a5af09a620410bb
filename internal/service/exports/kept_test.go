package exports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// TestExportExperiment_OfEndedRunsResumes: in every format a part from any
// offset is that of the whole file, and a file is made once for its etag.
func TestExportExperiment_OfEndedRunsResumes(t *testing.T) {
	for _, generation := range demotest.Generations() {
		h := newHarness(t, generation)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Status: "finished", Events: []byte(servicetest.SampleEvents)})
		for format, name := range runicornapiv1.ExportFormat_name {
			if generation == demotest.Gen05 && name == "EXPORT_FORMAT_ZIP" {
				continue
			}
			for _, layout := range []runicornapiv1.ExportLayout{runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG} {
				t.Run(fmt.Sprintf("%s/%s/%v", generation, name, layout), func(t *testing.T) {
					req := &runicornapiv1.ExportExperimentRequest{RunId: id, Format: runicornapiv1.ExportFormat(format), Layout: layout, IfMatch: "*"}
					whole, err := receiveExport(t.Context(), t, h, req)
					if err != nil {
						t.Fatal(err)
					}
					if whole.header.GetEtag() == "" || whole.header.GetSizeBytes() != int64(len(whole.content)) || len(whole.content) < 10 {
						t.Fatalf("header %v of %d bytes", whole.header, len(whole.content))
					}
					req.IfMatch = whole.header.GetEtag()
					for _, offset := range []int64{1, int64(len(whole.content)) / 2, int64(len(whole.content))} {
						req.Offset = offset
						part, err := receivePart(t.Context(), h, req)
						if err != nil || !bytes.Equal(part.content, whole.content[offset:]) {
							t.Errorf("from %d: %d of %d bytes, %v", offset, len(part.content), len(whole.content)-int(offset), err)
						}
						if part.header.GetOffset() != offset || part.trailer.GetSizeBytes() != int64(len(whole.content)) {
							t.Errorf("from %d: header %v, trailer %v", offset, part.header, part.trailer)
						}
					}
					req.Offset, req.IfMatch = 1, "another"
					_, err = receivePart(t.Context(), h, req)
					apierrtest.WantError(t, err, codes.Aborted, "ETAG_MISMATCH")
				})
			}
		}
	}
}

// receivePart is receiveExport of a file from an offset on.
func receivePart(ctx context.Context, h *servicetest.Harness, req *runicornapiv1.ExportExperimentRequest) (*received, error) {
	stream, err := h.Experiments.ExportExperiment(ctx, req)
	out := &received{}
	for err == nil {
		var message *runicornapiv1.ExportExperimentResponse
		if message, err = stream.Recv(); err != nil {
			break
		}
		if message.GetHeader() != nil {
			out.header = message.GetHeader()
		}
		out.content = append(out.content, message.GetChunk()...)
		if message.GetTrailer() != nil {
			out.trailer = message.GetTrailer()
			return out, nil
		}
	}
	return out, err
}

func TestExportExperiment_OfRunsThatGrowHasNoETag(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	u := h.Upstreams[0]
	id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
	req := &runicornapiv1.ExportExperimentRequest{RunId: id, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, IfMatch: "*"}
	var file *received
	var err error
	for format := range runicornapiv1.ExportFormat_name {
		req.Format = runicornapiv1.ExportFormat(format)
		if file, err = receiveExport(t.Context(), t, h, req); err != nil || file.header.GetEtag() != "" {
			t.Fatalf("%v: header %v, %v", req.GetFormat(), file.header, err)
		}
	}
	req.Format = runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV
	if file.header.SizeBytes != nil || len(file.content) < 10 {
		t.Errorf("the header %v promises a size, or the file is missing: %d bytes", file.header, len(file.content))
	}
	servicetest.SetStatus(t, u, id, "finished")
	file, err = receiveExport(t.Context(), t, h, req)
	if err != nil || file.header.GetEtag() == "" {
		t.Fatalf("after its end: header %v, %v", file.header, err)
	}
	if err := u.AppendEvents(id, []byte("\n"+servicetest.MetricsLine(9, `"loss": 1`))); err != nil { // 0.7.2 keeps reporting finished
		t.Fatal(err)
	}
	req.Offset, req.IfMatch = 1, file.header.GetEtag()
	_, err = receivePart(t.Context(), h, req)
	apierrtest.WantError(t, err, codes.Aborted, "ETAG_MISMATCH")
	req.Offset, req.IfMatch = 0, ""
	again, err := receiveExport(t.Context(), t, h, req)
	if err != nil || !strings.Contains(string(again.content), "\n9,") {
		t.Errorf("the line that came later is not in the file: %q, %v", again.content, err)
	}
	_, err = receivePart(t.Context(), h, &runicornapiv1.ExportExperimentRequest{RunId: id, Offset: 1})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
}

func TestKeptFiles_AreMadeOnceAndDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptFiles()
		var made atomic.Int32
		build := func(f *keptFile) error { //nolint:unparam // as open wants it
			made.Add(1)
			<-time.After(time.Second)
			f.content = &spool{}
			return nil
		}
		var g errgroup.Group
		for range 20 {
			g.Go(func() error {
				f, err := k.open(t.Context(), "a", build)
				if err != nil {
					return err
				}
				return k.release(f)
			})
		}
		if err := g.Wait(); err != nil || made.Load() != 1 {
			t.Fatalf("made %d times, %v", made.Load(), err)
		}
		<-time.After(keptFor / 2)
		if f, err := k.open(t.Context(), "a", build); err != nil || made.Load() != 1 || k.release(f) != nil {
			t.Fatalf("made %d times, %v", made.Load(), err)
		}
		<-time.After(keptFor)
		synctest.Wait()
		if len(k.files) != 0 {
			t.Errorf("%d files are kept", len(k.files))
		}
	})
}

func TestKeptFiles_WhenTheMakerLeavesAnotherCallerMakesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptFiles()
		ctx, cancel := context.WithCancel(t.Context())
		var g errgroup.Group
		g.Go(func() error {
			_, err := k.open(ctx, "a", func(*keptFile) error { <-ctx.Done(); return ctx.Err() })
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("the maker got %w", err)
			}
			return nil
		})
		synctest.Wait()
		g.Go(func() error {
			f, err := k.open(t.Context(), "a", func(f *keptFile) error { f.content = &spool{}; return nil })
			if err != nil {
				return err
			}
			return k.release(f)
		})
		synctest.Wait()
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		<-time.After(2 * keptFor)
	})
}

func TestKeptFiles_AfterAPanicAnotherCallerMakesTheFile(t *testing.T) {
	k := newKeptFiles()
	func() {
		defer func() { _ = recover() }()
		_, _ = k.open(t.Context(), "a", func(*keptFile) error { panic("in the middle") })
	}()
	f, err := k.open(t.Context(), "a", func(f *keptFile) error { f.content = &spool{}; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := k.release(f); err != nil {
		t.Error(err)
	}
}

func TestTempSpace_FreesSpaceOrRefuses(t *testing.T) {
	k := newKeptFiles()
	space := &tempSpace{free: semaphore.NewWeighted(3 * maxSpooledMemory), freeSpace: k.freeSpace}
	write := func(s *spool) error {
		for range 2 {
			if _, err := s.Write(make([]byte, maxSpooledMemory)); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := k.open(t.Context(), "a", func(f *keptFile) error {
		f.content = &spool{space: space}
		return write(f.content)
	})
	if err != nil {
		t.Fatal(err)
	}
	second := &spool{space: space}
	defer second.Close()
	if err := write(second); err == nil {
		t.Fatal("a second file was written beside one that is in use")
	}
	if err := errors.Join(second.reset(), k.release(f)); err != nil {
		t.Fatal(err)
	}
	if err := write(second); err != nil || len(k.files) != 0 {
		t.Errorf("no room was made: %v, %d files", err, len(k.files))
	}
	if err := second.Close(); err != nil || !space.free.TryAcquire(3*maxSpooledMemory) {
		t.Errorf("some bytes are still counted, or %v", err)
	}
}

func TestKeptFiles_InMemoryAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptFiles()
		for i := range 2 * maxKeptMemory / maxSpooledMemory {
			f, err := k.open(t.Context(), strconv.Itoa(i), func(f *keptFile) error {
				f.content = &spool{}
				_, err := f.content.Write(make([]byte, maxSpooledMemory))
				return err
			})
			if err := errors.Join(err, k.release(f)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		k.mu.Lock() // timers drop files meanwhile
		if k.memory() > maxKeptMemory || k.files["0"] != nil || len(k.files) < 10 {
			t.Errorf("%d files hold %d bytes", len(k.files), k.memory())
		}
		k.mu.Unlock()
		<-time.After(2 * keptFor)
	})
}

func TestBuild_APanicReleasesItsSpace(t *testing.T) {
	s := New(Config{TempBytes: 3 * maxSpooledMemory})
	j := &exporter{
		service: s, format: export.JSON, targets: make([]target.Run, 1), // without a client
		runs: []*export.Run{{Experiment: make([]byte, 2*maxSpooledMemory)}},
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		_ = j.build(t.Context(), &keptFile{})
	}()
	if !s.space.free.TryAcquire(3*maxSpooledMemory) || !s.making.TryAcquire(maxMergedExports) {
		t.Error("some of the space or a slot is still taken")
	}
}

// TestExportExperiment_AClientThatDoesNotReadLosesItsStream is over a real
// connection: the method returns although its client reads nothing.
func TestExportExperiment_AClientThatDoesNotReadLosesItsStream(t *testing.T) {
	returned := make(chan struct{}, 1)
	h := newHarnessWith(t, setup{config: func(c *Config) { c.Stall = 50 * time.Millisecond }, returned: returned}, demotest.Gen07)
	u := h.Upstreams[0]
	id := u.AddBigRun(100_000)
	for _, format := range []runicornapiv1.ExportFormat{
		runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL, runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP,
	} {
		stream, err := h.Experiments.ExportExperiment(t.Context(), &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format})
		if err != nil {
			t.Fatal(err)
		}
		<-returned // the method has ended, and nothing was read
		for err == nil {
			_, err = stream.Recv()
		}
		apierrtest.WantError(t, err, codes.ResourceExhausted, "SERVER_LIMIT")
	}
}
