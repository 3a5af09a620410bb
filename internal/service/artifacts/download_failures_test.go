package artifacts

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

func TestDownloadAsset_AZipWithMissingFilesReportsThem(t *testing.T) {
	for _, files := range []int{0, 1, 3} {
		h := newHarness(t, demotest.Gen07)
		run := servicetest.SampleRun(t, h, "")
		id := assetNamed(t, h, "", run, "cifar-mini") // of two files
		h.Upstreams[0].ServeDownload(".json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/zip")
			_, _ = w.Write(zipOf(t, files))
		})
		d, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id})
		if err != nil {
			t.Fatal(err)
		}
		read, err := zip.NewReader(bytes.NewReader(d.body), int64(len(d.body)))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if files < 2 {
			want = fmt.Sprintf("The zip holds %d of 2 files: the Viewer has lost the content of the others and does not report which ones.", files)
		}
		if said := strings.Join(d.trailer.GetLimitations(), ""); read.Comment != want || said != want || len(read.File) != files {
			t.Errorf("%d files, comment %q, trailer %q, want %q", len(read.File), read.Comment, said, want)
		}
	}
}

// zipOf packs some files.
func zipOf(tb testing.TB, files int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range files {
		if _, err := w.Create(fmt.Sprintf("f%d", i)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestZipCount_OfManyFilesAndOfNone(t *testing.T) {
	// The end of a zip whose files 16 bits cannot count, as Python and Go write it.
	large := append(make([]byte, 900), "PK\x06\x06"+strings.Repeat("\x00", 28)...)
	large = binary.LittleEndian.AppendUint64(large, 70_000)
	large = append(large, strings.Repeat("\x00", 16)+"PK\x06\x07"+strings.Repeat("\x00", 16)...)
	large = append(large, "PK\x05\x06\xff\xff\xff\xff\xff\xff\xff\xff"+strings.Repeat("\xff", 8)+"\x00\x00"...)
	for _, size := range []int{1, 7, 97, 98, 99, 1 << 20} {
		z := &zipReader{wantFiles: 70_000, body: bytes.NewReader(large)}
		var got bytes.Buffer
		_, err := io.CopyBuffer(&got, struct{ io.Reader }{z}, make([]byte, size))
		if err != nil || !bytes.Equal(got.Bytes(), large) || z.lacks != "" {
			t.Errorf("in pieces of %d: %d bytes, %q, %v", size, got.Len(), z.lacks, err)
		}
		z.held.Write(large)
		if n, ok := z.files(); !ok || n != 70_000 {
			t.Errorf("in pieces of %d: %d, %v", size, n, ok)
		}
	}
	for _, text := range []string{"", "x", strings.Repeat("x", 200), "PK\x05\x06"} {
		z := &zipReader{}
		z.held.WriteString(text)
		if n, ok := z.files(); ok {
			t.Errorf("%q holds %d files", text, n)
		}
	}
}

// TestDownloadAsset_ACutStreamIsNeverOK truncates the Viewer's response at many offsets.
func TestDownloadAsset_ACutStreamIsNeverOK(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	run := servicetest.SampleRun(t, h, "")
	id := assetNamed(t, h, "", run, "events.jsonl")
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	for i := range 20 {
		cut := i * len(content) / 20
		h.Upstreams[0].ServeDownload("events.jsonl", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:cut])
			panic(http.ErrAbortHandler)
		})
		d, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id})
		if err == nil || d.trailer != nil {
			t.Fatalf("cut at %d: %v with %d bytes", cut, err, len(d.body))
		}
		if !bytes.HasPrefix(content, d.body) {
			t.Errorf("cut at %d: other bytes", cut)
		}
		if len(d.body) > 0 {
			apierrtest.WantError(t, err, codes.DataLoss, "STREAM_CUT")
		}
	}
}

// stalledStream is a stream whose client reads nothing after the header until the test
// permits it.
type stalledStream struct {
	grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]
	wait time.Duration
}

func (s *stalledStream) Send(m *runicornapiv1.DownloadAssetResponse) error {
	if m.GetChunk() != nil {
		<-time.After(s.wait) // the clock of synctest
	}
	return nil
}

// body is a Viewer's response that records when it was closed.
type body struct {
	io.Reader
	closed time.Duration
	start  time.Time
}

func (b *body) Close() error {
	if b.closed == 0 {
		b.closed = time.Since(b.start)
	}
	return nil
}

func TestSendTo_ClosesTheViewersStreamIfTheClientStopsReading(t *testing.T) {
	for _, tt := range []struct {
		wait, closed time.Duration
		reason       string
	}{
		{50 * time.Second, 100 * time.Second, ""},
		{time.Hour, time.Minute, "SERVER_LIMIT"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &body{Reader: bytes.NewReader(make([]byte, filestream.ChunkSize+1)), start: time.Now()}
			c := &content{Run: target.Run{Viewer: namedViewer("v")}, total: filestream.ChunkSize + 1, body: b, etag: "e"}
			err := c.sendTo(&stalledStream{wait: tt.wait})
			defer func() { <-time.After(tt.wait) }() // as the stream ends with the call
			if b.closed != tt.closed {
				t.Errorf("the Viewer's stream was free after %v, want %v", b.closed, tt.closed)
			}
			if tt.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			apierrtest.WantError(t, errmap.Status(context.Background(), err).Err(), codes.ResourceExhausted, tt.reason)
		})
	}
}
