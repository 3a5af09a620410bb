package artifacts

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// downloaded is a received download.
type downloaded struct {
	header  *runicornapiv1.FileHeader
	trailer *runicornapiv1.FileTrailer
	body    []byte
}

// fetch downloads to the end, and checks the properties of every successful download.
func fetch(t *testing.T, h *servicetest.Harness, req *runicornapiv1.DownloadAssetRequest) (*downloaded, error) {
	t.Helper()
	stream, err := h.Artifacts.DownloadAsset(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	d := &downloaded{}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return d, err
		}
		switch part := msg.GetPart().(type) {
		case *runicornapiv1.DownloadAssetResponse_Header:
			d.header = part.Header
		case *runicornapiv1.DownloadAssetResponse_Chunk:
			if len(part.Chunk) > 256<<10 || d.header == nil {
				t.Errorf("a chunk of %d bytes behind header %v", len(part.Chunk), d.header)
			}
			d.body = append(d.body, part.Chunk...)
		case *runicornapiv1.DownloadAssetResponse_Trailer:
			d.trailer = part.Trailer
		}
	}
	sum := sha256.Sum256(d.body)
	if d.trailer == nil || d.trailer.GetSha256() != hex.EncodeToString(sum[:]) || d.trailer.GetSizeBytes() != d.header.GetOffset()+int64(len(d.body)) {
		t.Errorf("OK with trailer %v for %d bytes from %d", d.trailer, len(d.body), d.header.GetOffset())
	}
	return d, nil
}

// assetNamed finds the id of an asset of a run.
func assetNamed(t *testing.T, h *servicetest.Harness, viewer, run, name string) string {
	t.Helper()
	resp, err := h.Artifacts.ListAssets(t.Context(), &runicornapiv1.ListAssetsRequest{Viewer: viewer, RunId: run})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range resp.GetAssets() {
		if a.GetName() == name {
			return a.GetAssetId()
		}
	}
	t.Fatalf("no asset %s in %v", name, resp)
	return ""
}

func TestDownloadAsset_OfEveryKind(t *testing.T) {
	h := newHarness(t, demotest.Gen06, demotest.Gen07)
	for _, viewer := range []string{"v060", "v072"} {
		run := servicetest.SampleRun(t, h, viewer)
		log, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run, AssetId: assetNamed(t, h, viewer, run, "events.jsonl")})
		if err != nil {
			t.Fatal(err)
		}
		if log.header.GetSizeBytes() != int64(len(log.body)) || log.header.GetContentType() != "application/x-ndjson" || log.header.GetEtag() == "" {
			t.Errorf("event file: %v", log.header)
		}
		set, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: target.ResourceName(viewer, run), AssetId: assetNamed(t, h, viewer, run, "cifar-mini")})
		if err != nil {
			t.Fatal(err)
		}
		if set.header.GetFileName() != "set.zip" || set.header.GetContentType() != "application/zip" || set.header.GetEtag() != "" {
			t.Errorf("dataset: %v", set.header)
		}
		if files, err := zip.NewReader(bytes.NewReader(set.body), int64(len(set.body))); err != nil || len(files.File) != 2 {
			t.Errorf("zip: %v", err)
		}
		images, err := h.Artifacts.ListImages(t.Context(), &runicornapiv1.ListImagesRequest{Viewer: viewer, RunId: run})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range images.GetImages() {
			image, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run, AssetId: i.GetAssetId()})
			if err != nil || !bytes.HasPrefix(image.body, []byte("\x89PNG")) || image.header.GetContentType() != "image/png" || image.header.GetFileName() != i.GetFileName() {
				t.Errorf("image %v: %v, %v", i, image.header, err)
			}
		}
	}
}

func TestDownloadAsset_ResumesTheSameFileOnly(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	run := servicetest.SampleRun(t, h, "")
	req := &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: assetNamed(t, h, "", run, "summary.json")}
	whole, err := fetch(t, h, req)
	if err != nil {
		t.Fatal(err)
	}
	req.IfMatch = whole.header.GetEtag()
	for offset := range int64(len(whole.body) + 1) {
		req.Offset = offset
		rest, err := fetch(t, h, req)
		if err != nil || !bytes.Equal(rest.body, whole.body[offset:]) || rest.header.GetEtag() != whole.header.GetEtag() {
			t.Fatalf("from %d: %v, %v", offset, rest.header, err)
		}
	}
	req.Offset++
	_, err = fetch(t, h, req)
	apierrtest.WantError(t, err, codes.Aborted, "ETAG_MISMATCH")
	req.Offset, req.IfMatch = 3, "another"
	_, err = fetch(t, h, req)
	apierrtest.WantError(t, err, codes.Aborted, "ETAG_MISMATCH")
	req.IfMatch = ""
	_, err = fetch(t, h, req)
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")

	req = &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: assetNamed(t, h, "", run, "cifar-mini"), Offset: 3, IfMatch: "x"}
	_, err = fetch(t, h, req)
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
}

// TestDownloadAsset_ServesOnlyWhatIsTheRuns: an id that could name another file is
// refused without a request for a file.
func TestDownloadAsset_ServesOnlyWhatIsTheRuns(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	run := servicetest.SampleRun(t, h, "")
	const other = "20261123_172642_c61afd"
	log, image := assetNamed(t, h, "", run, "events.jsonl"), imageID(run, 0, "media/x.png")
	asked := h.Upstreams[0].Counted("")
	for _, id := range []string{
		assetNamed(t, h, "", other, "events.jsonl"), imageID(other, 0, "media/x.png"), assetIDOf(assetKind, other, strings.Repeat("0", 32)),
	} {
		asked.Store(0)
		_, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id})
		apierrtest.WantError(t, err, codes.NotFound, "ASSET_NOT_FOUND")
		if n := asked.Load(); n != 0 {
			t.Errorf("%s: %d requests upstream", id, n)
		}
	}
	asked.Store(0)
	for _, id := range []string{
		"..", "../../x", "%2e%2e%2fx", "/etc/passwd", demoRoot + "/x", `C:\x`, "events.jsonl", log + "/..", log + "%2f..", "file:///etc", "\x00",
		strings.ToUpper(log), assetIDOf(imageKind, run, "x"), assetIDOf(imageKind, run, "-5-abc"), strings.Replace(image, "i", "x", 1),
	} {
		_, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	}
	_, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: "../" + run, AssetId: log})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests upstream", n)
	}
	for _, id := range []string{image, assetIDOf(assetKind, run, strings.Repeat("0", 32)), assetIDOf(fileKind, run, "meta"), imageID(run, 1<<40, "media/x.png")} {
		_, err := fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id})
		apierrtest.WantError(t, err, codes.NotFound, "ASSET_NOT_FOUND")
	}
	// The log is written by programs of users: an image outside of the run's folder is
	// refused, whatever its id.
	h.Upstreams[0].ServeEvents(`{"type":"image","data":{"path":"../other/status.json"}}` + "\n")
	_, err = fetch(t, h, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: imageID(run, 0, "../other/status.json")})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
}

func TestSafeFileName(t *testing.T) {
	for name, want := range map[string]string{
		"../../etc/passwd": "passwd", `C:\x\model.pt`: "model.pt", "": "download", "..": "download", "a\nb\x7f": "a_b_",
		"модель.pt": "модель.pt", "a\xffb": "a\uFFFDb", "x\u202egnp.exe": "x_gnp.exe", `<a>:"b"|?*`: "_a___b____",
		strings.Repeat("ж", 200): strings.Repeat("ж", 127),
	} {
		if got := safeFileName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzReadAssetID(f *testing.F) {
	t0 := target.Run{Viewer: namedViewer("v"), RunID: "20261123_172642_c61afd"}
	f.Add(assetIDOf(fileKind, t0.RunID, "events"))
	f.Add(imageID(t0.RunID, 1<<40, "media/ü.png"))
	f.Add("../x")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := readAssetID(t0, text)
		if err != nil {
			return
		}
		if text != assetIDOf(id.kind, t0.RunID, id.rest) || strings.ContainsAny(id.rest, `/\.%`) {
			t.Errorf("%q became %v", text, id)
		}
		if position, _, ok := parseImageRef(id.rest); ok && position < 0 {
			t.Errorf("%q stands at %d", text, position)
		}
	})
}

// namedViewer returns a Viewer that has only a name.
func namedViewer(name string) *fleet.Viewer { return &fleet.Viewer{Name: name} }
