package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// forgery is a storage with two runs, of which one has an assets.json that
// claims what is not its own.
type forgery struct {
	storage        string
	forger, victim realviewer.Run
	// claims are paths by the names of the assets that claim them.
	claims map[string]string
}

// forge writes the storage. All claimed files exist.
func forge(t *testing.T, version realviewer.Version) *forgery {
	t.Helper()
	f := &forgery{storage: t.TempDir()}
	write := func(name string) (run realviewer.Run) {
		run, err := realviewer.WriteRun(f.storage, version, realviewer.RunSpec{Project: "forged", Name: name, Lines: realviewer.Curve(time.Now(), 3, "loss")})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	f.forger, f.victim = write("forger"), write("victim")
	put := func(path, text string) string {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	outside := put(filepath.Join(t.TempDir(), "secret.txt"), "of another root")
	list, err := json.Marshal(map[string]any{"files": map[string]any{"x": map[string]any{"sha256": outside}}})
	if err != nil {
		t.Fatal(err)
	}
	f.claims = map[string]string{
		"events of another run":  f.victim.EventFile,
		"output of another run":  put(filepath.Join(f.storage, "archive", "outputs", "rolling", f.victim.RunID, "0a_m.pt"), "its output"),
		"folder of another run":  f.victim.Dir,
		"by a step up":           filepath.Dir(f.forger.Dir) + "/../victim/" + f.victim.RunID + "/events.jsonl",
		"by a step up from own":  f.forger.Dir + "/../../victim/" + f.victim.RunID + "/events.jsonl",
		"file of the storage":    put(filepath.Join(f.storage, "index.txt"), "of all runs"),
		"the storage":            f.storage,
		"list of foreign files":  put(filepath.Join(f.forger.Dir, "manifests", "x.json"), string(list)),
		"file of another root":   outside,
		"list among own outputs": put(filepath.Join(f.storage, "archive", "outputs", "rolling", f.forger.RunID, "0a_manifests.json"), string(list)),
	}
	outputs := []any{map[string]any{
		"name": "own", "key": "own", "saved": true,
		"archive_path": put(filepath.Join(f.storage, "archive", "outputs", "rolling", f.forger.RunID, "0a_own.pt"), "its own"),
	}}
	for name, path := range f.claims {
		outputs = append(outputs, map[string]any{"name": name, "key": name, "saved": true, "archive_path": path})
	}
	text, err := json.Marshal(map[string]any{"outputs": outputs})
	if err != nil {
		t.Fatal(err)
	}
	put(filepath.Join(f.forger.Dir, "assets.json"), string(text))
	return f
}

// TestAssets_AForgedListIsNotServed uses a run that claims files of another run, of the
// storage and of the machine. The Viewers themselves serve most of them.
func TestAssets_AForgedListIsNotServed(t *testing.T) {
	for _, version := range withAssets() {
		t.Run(string(version), func(t *testing.T) {
			install, f := realviewer.Require(t, version), forge(t, version)
			v := realviewer.MustStart(t, install, realviewer.Options{Storage: f.storage})
			s := mustStart(t, "--viewer="+v.URL())
			direct := v.URL() + "/api/runs/" + f.forger.RunID + "/assets/download?path="
			served := 0
			for _, path := range f.claims {
				if statusOfGet(t, direct+url.QueryEscape(path)) == http.StatusOK {
					served++
				}
			}
			t.Logf("the Viewer itself serves %d of %d", served, len(f.claims))
			if version == realviewer.V060 && served < len(f.claims)-1 {
				t.Error("0.6.0 does not serve what it is known to serve: the claims are wrong")
			}
			assets := assetIDs(t, s, "", f.forger.RunID)
			for name := range f.claims {
				if a := assets[name]; a == nil {
					t.Errorf("%s is not listed", name)
					continue
				}
				_, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{RunId: f.forger.RunID, AssetId: assets[name].GetAssetId()})
				wantReason(t, err, codes.NotFound, "ASSET_NOT_FOUND")
				if len(body) > 0 {
					t.Errorf("%s: %d bytes came", name, len(body))
				}
				if got := statusOfGet(t, "http://"+s.httpAddr+"/v1/experiments/"+f.forger.RunID+"/assets/"+assets[name].GetAssetId()+":download"); got != http.StatusNotFound {
					t.Errorf("%s over HTTP: %d", name, got)
				}
			}
			_, body, err := download(t, s, &runicornapiv1.DownloadAssetRequest{RunId: f.forger.RunID, AssetId: assets["own"].GetAssetId()})
			if err != nil || string(body) != "its own" {
				t.Errorf("its own output: %q, %v", body, err)
			}
		})
	}
}
