package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// withAssets are the releases whose runs have assets.
func withAssets() []realviewer.Version {
	return []realviewer.Version{realviewer.V060, realviewer.V072}
}

// assetIDs returns the ids of a run's assets by their names.
func assetIDs(t *testing.T, s *server, viewer, run string) map[string]*runicornapiv1.Asset {
	t.Helper()
	resp, err := artifactsOf(s).ListAssets(t.Context(), &runicornapiv1.ListAssetsRequest{Viewer: viewer, RunId: run})
	if err != nil {
		t.Fatal(err)
	}
	assets := make(map[string]*runicornapiv1.Asset)
	for _, a := range resp.GetAssets() {
		assets[a.GetName()] = a
	}
	return assets
}

// TestAssets_AsTheSDKKeptThem downloads everything that the SDK has kept, and
// compares it with what the script gave it.
func TestAssets_AsTheSDKKeptThem(t *testing.T) {
	for _, version := range withAssets() {
		t.Run(string(version), func(t *testing.T) {
			seeded, s, viewer := lab.Viewer(t, version), sharedServer(t), viewerName(version)
			run := seeded.Manifest.Runs[realviewer.KeyAssets]
			assets := assetIDs(t, s, viewer, run.RunID)
			want := map[string]runicornapiv1.AssetType{
				"code": runicornapiv1.AssetType_ASSET_TYPE_CODE, "config": runicornapiv1.AssetType_ASSET_TYPE_CONFIG,
				"toy": runicornapiv1.AssetType_ASSET_TYPE_DATASET, "remote": runicornapiv1.AssetType_ASSET_TYPE_DATASET,
				"weights": runicornapiv1.AssetType_ASSET_TYPE_PRETRAINED, "model.pt": runicornapiv1.AssetType_ASSET_TYPE_OUTPUT,
				"events.jsonl": runicornapiv1.AssetType_ASSET_TYPE_RUN_FILE, "status.json": runicornapiv1.AssetType_ASSET_TYPE_RUN_FILE,
			}
			for name, kind := range want {
				if assets[name].GetType() != kind {
					t.Errorf("%s is %v", name, assets[name])
				}
				if strings.Contains(assets[name].String(), seeded.Storage()) {
					t.Errorf("a path of the Viewer's machine is shown: %v", assets[name])
				}
			}
			if v := assets["config"].GetMetadata()["args.lr"].GetNumber(); v != 0.1 {
				t.Errorf("config: %v", assets["config"])
			}
			contents := map[string]string{"model.pt": strings.Repeat("model", 200), "weights": strings.Repeat("pretrained", 100)}
			for _, name := range []string{"events.jsonl", "status.json"} {
				text, err := os.ReadFile(filepath.Join(run.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				contents[name] = string(text)
			}
			for name, want := range contents {
				header, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run.RunID, AssetId: assets[name].GetAssetId()})
				if err != nil || string(body) != want || header.GetSizeBytes() != int64(len(want)) {
					t.Errorf("%s: %v, %d bytes, %v", name, header, len(body), err)
				}
			}
			header, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run.RunID, AssetId: assets["toy"].GetAssetId()})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"train.csv": "x,y\n1,2\n", "test.csv": "x,y\n3,4\n"}, unzip(t, body)); diff != "" || header.GetFileName() != "data.zip" {
				t.Errorf("dataset %v:\n%s", header, diff)
			}
			header, body, err = download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run.RunID, AssetId: assets["code"].GetAssetId()})
			if err != nil || unzip(t, body)["train.py"] != "print('training')\n" {
				t.Errorf("code %v: %v", header, err)
			}
			_, _, err = download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run.RunID, AssetId: assets["remote"].GetAssetId()})
			wantReason(t, err, codes.NotFound, "ASSET_NOT_FOUND")
		})
	}
}

// unzip returns the files of a zip.
func unzip(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range r.File {
		text, err := fs.ReadFile(r, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files
}

func TestImages_AsTheSDKLoggedThem(t *testing.T) {
	for _, version := range withAssets() {
		seeded, s, viewer := lab.Viewer(t, version), sharedServer(t), viewerName(version)
		run := seeded.Manifest.Runs[realviewer.KeyImages]
		resp, err := artifactsOf(s).ListImages(t.Context(), &runicornapiv1.ListImagesRequest{Viewer: viewer, RunId: run.RunID})
		if err != nil {
			t.Fatal(err)
		}
		var captions []string
		for _, image := range resp.GetImages() {
			captions = append(captions, image.GetKey()+" "+image.GetCaption())
			if (image.Step == nil) != (image.GetKey() == "mask") || image.GetLogTime() == nil {
				t.Errorf("%s: %v", version, image)
			}
			want, err := os.ReadFile(filepath.Join(run.Dir, "media", image.GetFileName()))
			if err != nil {
				t.Fatal(err)
			}
			header, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: run.RunID, AssetId: image.GetAssetId()})
			if err != nil || !bytes.Equal(body, want) || header.GetContentType() != "image/png" {
				t.Errorf("%s: %v, %d bytes, %v", version, header, len(body), err)
			}
		}
		if diff := cmp.Diff([]string{"sample красный, red", "sample ", "mask without a step"}, captions); diff != "" {
			t.Errorf("%s: %s", version, diff)
		}
	}
}

// TestAssets_OfAnotherRunAreRefused: 0.6.0 itself would serve any file of its
// storage to any run.
func TestAssets_OfAnotherRunAreRefused(t *testing.T) {
	for _, version := range withAssets() {
		seeded, s, viewer := lab.Viewer(t, version), sharedServer(t), viewerName(version)
		mine, other := seeded.Manifest.Runs[realviewer.KeyAssets].RunID, seeded.Manifest.Runs[realviewer.KeyImages]
		for _, a := range assetIDs(t, s, viewer, other.RunID) {
			_, _, err := download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: mine, AssetId: a.GetAssetId()})
			wantReason(t, err, codes.NotFound, "ASSET_NOT_FOUND")
		}
		for _, id := range []string{other.EventFile, "../" + other.RunID + "/events.jsonl", "%2e%2e%2fstatus.json", "/etc/passwd", "meta.json"} {
			_, _, err := download(t, s, &runicornapiv1.DownloadAssetRequest{Viewer: viewer, RunId: mine, AssetId: id})
			wantReason(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		}
	}
}

// TestAssets_AZipWithALostBlobReportsIt takes the content of one of a
// dataset's two files away; both releases then pack the other one in silence.
func TestAssets_AZipWithALostBlobReportsIt(t *testing.T) {
	for _, version := range withAssets() {
		t.Run(string(version), func(t *testing.T) {
			seeded, err := realviewer.StartSeeded(t.Context(), realviewer.Require(t, version), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := seeded.Close(); err != nil {
					t.Error(err)
				}
			})
			s := mustStart(t, "--viewer="+seeded.URL())
			sum := sha256.Sum256([]byte("x,y\n3,4\n"))
			blob := hex.EncodeToString(sum[:])
			if err := os.Remove(filepath.Join(seeded.Storage(), "archive", "blobs", blob[:2], blob)); err != nil {
				t.Fatal(err)
			}
			run := seeded.Manifest.Runs[realviewer.KeyAssets].RunID
			id := assetIDs(t, s, "", run)["toy"].GetAssetId()
			lacks := []byte("The zip holds 1 of 2 files")
			if _, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{RunId: run, AssetId: id}); err != nil || !bytes.Contains(body, lacks) {
				t.Errorf("%d bytes, %v; want a zip that says what it lacks", len(body), err)
			}

			url := "http://" + s.httpAddr + "/v1/experiments/" + run + "/assets/" + id + ":download"
			if resp, body, err := tryHTTP(t, http.MethodGet, url, "", nil); err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, lacks) {
				t.Errorf("over HTTP: %d bytes, %v", len(body), err)
			}
		})
	}
}
