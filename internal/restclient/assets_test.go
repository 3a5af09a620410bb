package restclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// assetsOf returns the assets of a recorded answer, with absolute paths in place of its
// placeholders.
func assetsOf(t *testing.T, v *fakeViewer, body []byte) *RunAssets {
	t.Helper()
	text := strings.NewReplacer("<ROOT>", "/srv/store", "<WORK>", "/home/me/work").Replace(string(body))
	v.on("GET /api/runs/x/assets", jsonAnswer(text))
	v.on("GET /api/health", jsonAnswer(`{"status":"ok","storage":"/srv/store"}`))
	assets, err := v.client(t).Assets(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	return assets
}

func TestAssets_DecodeRecordedAnswers(t *testing.T) {
	for _, version := range []string{"0.6.0", "0.7.2"} {
		t.Run(version, func(t *testing.T) {
			got := assetsOf(t, newViewer(t, version), fixture(t, version, "run_assets")).Assets
			want := []Asset{
				{Kind: AssetConfig, Name: known("config"), Values: Values{"extra.lr": {Kind: ValueNumber, Number: 0.1}}},
				{
					Kind: AssetDataset, Name: known("ds1"), Context: known("train"), Source: "dsdir",
					Fingerprint:     "68e603c89acc2f66253c2b8c350a65f264a9f5ca17fea02c64041f4b310257f2",
					FingerprintKind: known("sha256_manifest"), Size: Int{Value: 6, Known: true}, Files: Int{Value: 2, Known: true}, Saved: true, Zipped: true,
				},
				{Kind: AssetDataset, Name: known("ds2"), Context: known("train"), Source: "data.bin", Size: Int{Value: 2048, Known: true}},
				{Kind: AssetPretrained, Name: known("bert"), Source: "hf://bert", SourceType: known("huggingface")},
			}
			for i := range got {
				if len(got[i].ID) != 32 || strings.Contains(fmt.Sprintf("%+v %#v", got[i], got[i]), "/srv") {
					t.Errorf("asset %d: %+v", i, got[i])
				}
				got[i].ID, got[i].location = "", nil
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Asset{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// aHash has the form of a content hash.
var aHash = strings.Repeat("aabb", 16)

// everyKind is an assets.json as the SDK writes it, with every kind of asset.
var everyKind = `{"assets":{
 "code":{"snapshot":{"saved":true,"workspace_root":"/home/me/work","format":"zip","created_at":1795446662,
  "archive_path":"/srv/store/archive/blobs/aa/` + aHash + `","fingerprint_kind":"sha256","fingerprint":"aabb"}},
 "config":{"args":{"n":1152921504606846977},"extra":{"on":true},"config_files":["/home/me/a.yaml","b.yaml"]},
 "datasets":[{"name":"d","uri":{"path":"/home/me/d"},"saved":false},7,{"name":"e","saved":"maybe"}],
 "pretrained":[{"name":"p","path_or_uri":"s3://key:hunter2@bucket/p","saved":true,"archive_path":"/srv/store/runs/a/x/p.bin"}],
 "outputs":[{"key":"out/m.pt","name":"m.pt","kind":"file","path":"./out/m.pt","saved":true,
  "archive_path":"/srv/store/archive/outputs/rolling/x/0a_m.pt","fingerprint_kind":"stat","fingerprint":{"size_bytes":5,"mtime":1.5},"archived_at":1795446662}]
}}`

func TestAssets_OfEveryKind(t *testing.T) {
	assets := assetsOf(t, newViewer(t, "0.6.0"), []byte(everyKind)).Assets
	var kinds []AssetKind
	for i := range assets {
		kinds = append(kinds, assets[i].Kind)
	}
	want := []AssetKind{AssetCode, AssetConfig, AssetDataset, AssetPretrained, AssetOutput}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Fatal(diff)
	}
	code, config, data, model, output := assets[0], assets[1], assets[2], assets[3], assets[4]
	if code.filename() != "code.zip" || code.Zipped || code.StoredTime.Unix() != 1795446662 {
		t.Errorf("code: %+v", code)
	}
	if got := config.Values["args.n"].Integer; got != 1<<60+1 {
		t.Errorf("a large integer became %d", got)
	}
	if got := config.Values["config_files"].Text; got != `["a.yaml","b.yaml"]` {
		t.Errorf("config files: %s", got)
	}
	if strings.Contains(string(data.Source), "/home") || model.Source != "s3://<hidden>@bucket/p" {
		t.Errorf("sources: %q, %q", data.Source, model.Source)
	}
	if output.Size.Value != 5 || output.Fingerprint != "" || output.Source != "./out/m.pt" || output.filename() != "m.pt" {
		t.Errorf("output: %+v", output)
	}
}

func TestAssets_IDIsStable(t *testing.T) {
	v := newViewer(t, "0.7.2")
	before := assetsOf(t, v, []byte(everyKind))
	if got := assetsOf(t, v, []byte(everyKind)).Find(before.Assets[4].ID); got == nil || got.Kind != AssetOutput {
		t.Errorf("the same asset is %+v", got)
	}
	after := assetsOf(t, v, bytes.Replace([]byte(everyKind), []byte(`"fingerprint":"aabb"`), []byte(`"fingerprint":"ccdd"`), 1))
	if after.Find(before.Assets[0].ID) != nil {
		t.Error("other content has the same id")
	}
	if after.Find("nothing") != nil {
		t.Error("an unknown id was found")
	}
}

func TestAssets_IgnoreOtherTypes(t *testing.T) {
	v := newViewer(t, "0.6.0")
	for _, body := range []string{`{}`, `{"assets":null}`, `{"assets":[]}`, `{"assets":{"code":1,"config":"x","datasets":{"a":1},"outputs":null}}`} {
		if got := assetsOf(t, v, []byte(body)); len(got.Assets) != 0 {
			t.Errorf("%s: %+v", body, got.Assets)
		}
	}
}

func TestAssetRefs_DecodeRecordedAnswer(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/x/assets/refs", jsonAnswer(string(fixture(t, "0.6.0", "run_asset_refs"))))
	refs, err := v.client(t).AssetRefs(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if len(refs.Orphaned) != 3 || refs.Shared[0].RefCount.Value != 2 ||
		refs.Shared[0].OtherRuns[0] != "20261123_151105_dfb080" {
		t.Errorf("refs: %+v", refs)
	}
	v = newViewer(t, "0.7.2")
	v.on("GET /api/runs/x/assets/refs", answer(503, "application/json", fixture(t, "0.7.2", "run_asset_refs")))
	_, err = v.client(t).AssetRefs(t.Context(), "x")
	wantKind(t, err, KindUnsupported)
}

func TestImages_AreRelativeToTheRun(t *testing.T) {
	const run = "20261123_151107_1c6ddf"
	v := newViewer(t, "0.7.2")
	v.on("GET /api/runs/"+run+"/images", jsonAnswer(string(fixture(t, "0.7.2", "run_images"))))
	images, err := v.client(t).Images(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	want := []Image{{Step: Int{Value: 5, Known: true}, Key: known("sample"), File: "media/1795446667116_90afcf_sample.png"}}
	if diff := cmp.Diff(want, images.Images); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]RunFile{
		`C:\runs\x\media\1.png`: "media/1.png", "/runs/y/media/1.png": "", "/runs/x/../y/1.png": "", "": "",
	} {
		if got := withinRun("x", path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestMediaFile_StaysInTheRun(t *testing.T) {
	if file, err := MediaFile("media/a b.png"); err != nil || file != "media/a b.png" {
		t.Errorf("%q, %v", file, err)
	}
	for _, path := range []string{"", "/etc/passwd", "../x", "media/../../x", `a\b`, "~/x", "C:/x", "a//b", "a/./b", "a\x00b"} {
		if _, err := MediaFile(path); err == nil {
			t.Errorf("%q was accepted", path)
		}
	}
}

func TestOpenAsset_FromAnOffset(t *testing.T) {
	content := []byte("0123456789")
	v := newViewer(t, "0.7.2")
	output := assetsOf(t, v, []byte(everyKind)).Assets[4]
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		offset int64
		want   string
		err    error
	}{
		{"from its beginning", serveFile(content), 0, "0123456789", nil},
		{"from the middle", serveFile(content), 4, "456789", nil},
		{"from its end", serveFile(content), 10, "", nil},
		{"from beyond its end", serveFile(content), 11, "", ErrFileTruncated},
		{"from far beyond its end", serveFile(content), 99, "", ErrFileTruncated},
		{"of a server without ranges", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(content)
		}, 4, "", errRange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.on(downloadRoute, tt.answer)
			got, err := v.client(t).OpenAsset(t.Context(), "x", &output, tt.offset)
			if err != nil || tt.err != nil {
				if !errors.Is(err, tt.err) || tt.err == nil {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				return
			}
			text, err := io.ReadAll(got)
			if err = errors.Join(err, got.Close()); err != nil {
				t.Fatal(err)
			}
			if string(text) != tt.want || got.Total != 10 || got.Size != int64(len(tt.want)) || got.ETag != `"e1"` || got.Offset != tt.offset {
				t.Errorf("%q, %+v", text, got)
			}
		})
	}
	if got := v.requests()[2].Query; got != "filename=m.pt&path=%2Fsrv%2Fstore%2Farchive%2Foutputs%2Frolling%2Fx%2F0a_m.pt" {
		t.Errorf("query %q", got)
	}
}

func TestOpenAsset_StreamsAZip(t *testing.T) {
	zip := bytes.Repeat([]byte("PK"), 1<<18)
	v := newViewer(t, "0.6.0")
	zipped := &assetsOf(t, v, fixture(t, "0.6.0", "run_assets")).Assets[1]
	v.on(downloadRoute, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="../../etc/export.zip"`)
		answer(200, "application/zip", zip)(w, r)
	})
	c := v.client(t)
	c.maxBody = 1 << 10 // streams have no limit
	got, err := c.OpenAsset(t.Context(), "x", zipped, 0)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got)
	if err != nil || !bytes.Equal(body, zip) || got.Filename != "export.zip" || got.ContentType != "application/zip" {
		t.Errorf("%d bytes of %q, %v", len(body), got.Filename, err)
	}
	if err := got.Close(); err != nil {
		t.Error(err)
	}
	if c.slots.heavy != 2 || c.slots.streams != 8 {
		t.Errorf("slots were lost: %d, %d", c.slots.heavy, c.slots.streams)
	}
}

func TestOpenAsset_Refusals(t *testing.T) {
	v := newViewer(t, "0.6.0")
	assets := assetsOf(t, v, fixture(t, "0.6.0", "run_assets")).Assets
	zipped, unsaved := &assets[1], &assets[3]
	c := v.client(t)
	before := len(v.requests())
	if _, err := c.OpenAsset(t.Context(), "x", zipped, 5); err == nil {
		t.Error("a zip was resumed")
	}
	if _, err := c.OpenAsset(t.Context(), "x", zipped, -1); err == nil {
		t.Error("a negative offset was accepted")
	}
	_, err := c.OpenAsset(t.Context(), "x", unsaved, 0)
	if e := typed(t, err, KindNotFound); e.Resource != "asset" || e.ResourceID != unsaved.ID || len(v.requests()) != before {
		t.Errorf("%+v", e)
	}
	for detail, resource := range map[string]string{"File not found": "asset", "Manifest contains no files": "asset", "Run not found": "run"} {
		v.on(downloadRoute, answer(404, "application/json", []byte(`{"detail":"`+detail+`"}`)))
		_, err := c.OpenAsset(t.Context(), "x", zipped, 0)
		if e := typed(t, err, KindNotFound); e.Resource != resource {
			t.Errorf("%s: it is about %s %q", detail, e.Resource, e.ResourceID)
		}
	}
}
