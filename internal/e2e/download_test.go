package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// sparse is a Viewer with one run, whose one output is a large sparse file.
type sparse struct {
	*realviewer.Viewer
	runID string
	size  int64
	sum   string
}

// startSparse makes the file, with random bytes at some offsets, so that bytes at a wrong
// offset are detected.
func startSparse(t *testing.T, version realviewer.Version, size int64) *sparse {
	t.Helper()
	install, storage := realviewer.Require(t, version), t.TempDir()
	run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{Project: "big", Name: "output", Lines: realviewer.Curve(time.Now(), 10, "loss")})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(storage, "archive", "outputs", "rolling", run.RunID, "big.bin")
	sum, err := writeSparse(path, size)
	if err != nil {
		t.Fatal(err)
	}
	assets, err := json.Marshal(map[string]any{
		"code": map[string]any{}, "config": map[string]any{}, "datasets": []any{}, "pretrained": []any{},
		"outputs": []any{map[string]any{
			"name": "big.bin", "key": "out/big.bin", "path": "out/big.bin", "saved": true,
			"archive_path": path, "fingerprint_kind": "sha256", "fingerprint": sum, "size_bytes": size,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run.Dir, "assets.json"), assets, 0o600); err != nil {
		t.Fatal(err)
	}
	return &sparse{Viewer: realviewer.MustStart(t, install, realviewer.Options{Storage: storage}), runID: run.RunID, size: size, sum: sum}
}

// writeSparse writes the file and returns its SHA-256.
func writeSparse(path string, size int64) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	errs := []error{f.Truncate(size)}
	block := make([]byte, 64)
	for at := int64(0); at+64 <= size; at += 1<<20 + 7 {
		for i := range block {
			block[i] = byte(rand.Uint32())
		}
		_, err := f.WriteAt(block, at)
		errs = append(errs, err)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(append(errs, err, f.Close())...)
}

// resumable is a download that can be resumed.
type resumable struct {
	s    *server
	req  *runicornapiv1.DownloadAssetRequest
	sum  hash.Hash
	have int64
	// trailer is set by a stream that was whole.
	trailer *runicornapiv1.FileTrailer
}

// resume continues where the last stream ended, until an error or the end. It calls stopped,
// if not nil, after stop bytes.
func (r *resumable) resume(t *testing.T, stop int64, stopped func()) error {
	t.Helper()
	r.req.Offset = r.have
	stream, err := artifactsOf(r.s).DownloadAsset(t.Context(), r.req)
	if err != nil {
		return err
	}
	count := &offsetTrigger{size: r.have, offset: stop, reached: stopped}
	header, trailer, err := receiveFile(t, stream, io.MultiWriter(r.sum, count))
	if header != nil {
		r.req.IfMatch = header.GetEtag()
	}
	r.have, r.trailer = count.size, trailer
	return err
}

// TestDownload_SurvivesAViewerKilledAtRandomOffsets downloads a large file and
// kills the Viewer twenty times: no stream may end OK, and what the pieces make
// is the file.
func TestDownload_SurvivesAViewerKilledAtRandomOffsets(t *testing.T) {
	t.Parallel()
	const size = int64(320 << 20) // bench/download takes 1 GiB
	v := startSparse(t, realviewer.V072, size)
	d := newResumable(t, mustStart(t, "--viewer="+v.URL()), v)
	random := seeded(t)
	for left := int64(deaths); left > 0; left-- {
		// Up to 16 MiB before the end: bytes in socket buffers have left the Viewer, and
		// are received after its death.
		stop := d.have + random.Int64N(max(1, (size-16<<20-d.have)/left))
		d.wantCut(t, stop, func() {
			if err := v.Kill(); err != nil {
				t.Error(err)
			}
		})
		if err := v.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitRun(t, d.s, v.runID)
	}
	d.finish(t, v)
}

// TestDownload_SurvivesAConnectionResetAtRandomOffsets is the same with a
// Viewer that dies at exactly those bytes.
func TestDownload_SurvivesAConnectionResetAtRandomOffsets(t *testing.T) {
	t.Parallel()
	const size = int64(64 << 20)
	v := startSparse(t, realviewer.V060, size)
	front := newMortal(t, v.URL())
	d := newResumable(t, mustStart(t, "--viewer=http://"+front.addr), v)
	random := seeded(t)
	for left := int64(deaths); left > 0; left-- {
		front.live(t, 1+random.Int64N(2*(size-d.have)/(left+1)))
		d.wantCut(t, size+1, nil)
		if !front.isDead() {
			t.Fatal("it never came so far")
		}
		front.live(t, 1<<40)
		awaitRun(t, d.s, v.runID)
	}
	d.finish(t, v)
}

// newResumable is the download of a sparse file, before its first byte.
func newResumable(t *testing.T, s *server, v *sparse) *resumable {
	t.Helper()
	id := assetIDs(t, s, "", v.runID)["big.bin"].GetAssetId()
	return &resumable{s: s, sum: sha256.New(), req: &runicornapiv1.DownloadAssetRequest{RunId: v.runID, AssetId: id}}
}

// wantCut continues, and fails the test unless it ends as one whose Viewer died.
func (r *resumable) wantCut(t *testing.T, stop int64, stopped func()) {
	t.Helper()
	from := r.have
	err := r.resume(t, stop, stopped)
	if c := status.Code(err); r.trailer != nil || c != codes.DataLoss && c != codes.Unavailable {
		t.Fatalf("cut at %d: ends after %d bytes with %v, trailer %v", stop, r.have, err, r.trailer)
	}
	t.Logf("from %d to %d: %v", from, r.have, status.Code(err))
}

// finish reads the rest, and compares the whole with the file.
func (r *resumable) finish(t *testing.T, v *sparse) {
	t.Helper()
	if err := r.resume(t, v.size+1, nil); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != v.sum || r.have != v.size || r.trailer.GetSizeBytes() != v.size {
		t.Errorf("%d bytes with sum %s, want %d with %s", r.have, got, v.size, v.sum)
	}
}

// TestDownload_OverHTTP saves a file as a browser and a download manager do.
func TestDownload_OverHTTP(t *testing.T) {
	for _, version := range withAssets() {
		seeded, s, viewer := lab.Viewer(t, version), sharedServer(t), viewerName(version)
		run := seeded.Manifest.Runs[realviewer.KeyAssets].RunID
		base := "http://" + s.httpAddr + "/v1/viewers/" + viewer + "/experiments/" + run + "/assets/"
		url := base + assetIDs(t, s, viewer, run)["model.pt"].GetAssetId() + ":download"
		want := bytes.Repeat([]byte("model"), 200)

		whole, body := getHTTP(t, url, nil)
		if whole.StatusCode != http.StatusOK || !bytes.Equal(body, want) || whole.Header.Get("Content-Disposition") != `attachment; filename="model.pt"` {
			t.Errorf("%s: %s %v, %d bytes", version, whole.Status, whole.Header, len(body))
		}
		rest, body := getHTTP(t, url, map[string]string{"Range": "bytes=300-", "If-Range": whole.Header.Get("ETag")})
		if rest.StatusCode != http.StatusPartialContent || !bytes.Equal(body, want[300:]) || rest.Header.Get("Content-Range") != "bytes 300-999/1000" {
			t.Errorf("%s: %s %v, %d bytes", version, rest.Status, rest.Header, len(body))
		}
		again, body := getHTTP(t, url, map[string]string{"Range": "bytes=300-", "If-Range": `"of another file"`})
		if again.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
			t.Errorf("%s: %s, %d bytes", version, again.Status, len(body))
		}
		for id, want := range map[string]int{"..": http.StatusBadRequest, "%2Fetc%2Fpasswd": http.StatusBadRequest, "a00000000-0": http.StatusNotFound} {
			if got := statusOfGet(t, base+id+":download"); got != want {
				t.Errorf("%s: %s: %d, want %d", version, id, got, want)
			}
		}
	}
}

// TestDownload_OverHTTPAbortsVisibly kills the Viewer in the middle.
func TestDownload_OverHTTPAbortsVisibly(t *testing.T) {
	const size = 128 << 20
	v := startSparse(t, realviewer.V072, size)
	s := mustStart(t, "--viewer="+v.URL())
	id := assetIDs(t, s, "", v.runID)["big.bin"].GetAssetId()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.httpAddr+"/v1/experiments/"+v.runID+"/assets/"+id+":download", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Length") != strconv.Itoa(size) {
		t.Errorf("Content-Length %s", resp.Header.Get("Content-Length"))
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 10<<20); err != nil {
		t.Fatal(err)
	}
	if err := v.Kill(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("it ended well after %d more bytes", n)
	}
}
