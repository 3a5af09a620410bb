package restclient

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// forged returns an answer of the assets route with one output at a path.
func forged(t *testing.T, archivePath, kind string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"assets": map[string]any{"outputs": []any{map[string]any{
		"name": "o", "key": "o", "saved": true, "archive_path": archivePath, "fingerprint_kind": kind,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOpenAsset_RequestsOnlyPathsOfTheRun has an assets.json name all kinds of
// places, and looks at the path that the Viewer is asked for.
func TestOpenAsset_RequestsOnlyPathsOfTheRun(t *testing.T) {
	const run = "20261123_151107_1c6ddf"
	blob := "blobs/aa/" + aHash
	manifest := "manifests/datasets/aa/" + aHash + ".json"
	rolling := "outputs/rolling/" + run + "/0a_m.pt"
	for _, tt := range []struct{ name, path, want string }{
		{"a content", "/srv/store/archive/" + blob, "/srv/store/archive/" + blob},
		{"a list of contents", "/srv/store/archive/" + manifest, "/srv/store/archive/" + manifest},
		{"an output that is overwritten", "/srv/store/archive/" + rolling, "/srv/store/archive/" + rolling},
		{"a folder in such an output", "/srv/store/archive/" + rolling + "/sub/x", "/srv/store/archive/" + rolling + "/sub/x"},
		{"a file of the run's own folder", "/srv/store/runs/a/" + run + "/code.zip", "/srv/store/runs/a/" + run + "/code.zip"},
		{"a storage that was moved", "/old/archive/place/archive/" + blob, "/srv/store/archive/" + blob},
		{"a storage that was on Windows", `D:\store\archive\` + strings.ReplaceAll(blob, "/", `\`), "/srv/store/archive/" + blob},
		{"a run that was moved", "/srv/store/runs/b/" + run + "/code.zip", "/srv/store/runs/a/" + run + "/code.zip"},

		{"no path", "", ""},
		{"a file of another run", "/srv/store/runs/a/20261123_151107_ffffff/events.jsonl", ""},
		{"an output of another run", "/srv/store/archive/outputs/rolling/20261123_151107_ffffff/0a_m.pt", ""},
		{"all outputs of the run", "/srv/store/archive/outputs/rolling/" + run, ""},
		{"all outputs", "/srv/store/archive/outputs/rolling", ""},
		{"another run's output by way of this one's", "/srv/store/archive/outputs/rolling/" + run + "/../20261123_151107_ffffff/m.pt", ""},
		{"another run by way of this one", "/srv/store/runs/a/" + run + "/../20261123_151107_ffffff/events.jsonl", ""},
		{"the run's whole folder", "/srv/store/runs/a/" + run, ""},
		{"the run's whole folder, with a slash", "/srv/store/runs/a/" + run + "/", ""},
		{"all contents", "/srv/store/archive/blobs", ""},
		{"all contents that begin alike", "/srv/store/archive/blobs/aa", ""},
		{"a content in a wrong folder", "/srv/store/archive/blobs/ab/" + aHash, ""},
		{"a content with a step up", "/srv/store/archive/blobs/aa/../aa/" + aHash, ""},
		{"a content of too short a name", "/srv/store/archive/blobs/aa/aabb", ""},
		{"the index", "/srv/store/index.db", ""},
		{"the storage", "/srv/store", ""},
		{"another root", "/etc/passwd", ""},
		{"a relative path", "archive/" + blob, ""},
		{"an escaped step", "/srv/store/runs/a/" + run + "/%2e%2e", "/srv/store/runs/a/" + run + "/%2e%2e"}, // not decoded, so an ordinary name
		{"a list of contents of one's own", "/srv/store/runs/a/" + run + "/manifests/x.json", ""},
		{"a list of contents among outputs", "/srv/store/archive/outputs/rolling/" + run + "/0a_manifests.json", ""},
		{"a control character", "/srv/store/archive/" + blob + "\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("GET /api/runs/"+run+"/assets", jsonAnswer(forged(t, tt.path, "sha256")))
			v.on("GET /api/health", jsonAnswer(`{"storage":"/srv/store"}`))
			v.on("GET /api/runs/"+run, jsonAnswer(`{"id":"`+run+`","run_dir":"/srv/store/runs/a/`+run+`"}`))
			v.on("GET /api/runs/"+run+"/assets/download", serveFile([]byte("0123456789")))
			c := v.client(t)
			assets, err := c.Assets(t.Context(), run)
			if err != nil {
				t.Fatal(err)
			}
			asset := &assets.Assets[0]
			content, err := c.OpenAsset(t.Context(), run, asset, 0)
			if err == nil {
				err = content.Close()
			}
			asked := ""
			for _, r := range v.requests() {
				if _, query, ok := strings.Cut(r.Query, "path="); ok {
					asked = query
				}
			}
			if tt.want == "" {
				if e := typed(t, err, KindNotFound); e.Resource != nounAsset || asked != "" {
					t.Errorf("%+v, and the Viewer was asked for %q", e, asked)
				}
				return
			}
			if want := strings.NewReplacer("/", "%2F", "%", "%25").Replace(tt.want); err != nil || asked != want {
				t.Errorf("the Viewer was asked for %q, want %q, %v", asked, want, err)
			}
			if isZip := strings.HasSuffix(tt.want, ".json"); asset.Zipped != isZip {
				t.Errorf("zipped: %v", asset.Zipped)
			}
		})
	}
}

func TestReadFile_ReportsManifestsAsAbsent(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/x", jsonAnswer(`{"id":"x","run_dir":"/srv/runs/manifests/x"}`))
	part, err := v.client(t).ReadFile(t.Context(), "x", FileStatus, 0, 0)
	if err != nil || part.State != FileAbsent || !part.NotServed || len(v.requests()) != 1 {
		t.Errorf("%+v, %v, after %v", part, err, v.requests())
	}
}

func TestRollingFolder_EqualsTheSDK(t *testing.T) {
	for id, want := range map[string]string{
		"20261123_151107_1c6ddf": "20261123_151107_1c6ddf", "мой run½": "мой_run½", "a:b": "a_b", "e\u0301": "e_",
		strings.Repeat("ж", 90): strings.Repeat("ж", 80),
	} {
		if got := rollingFolder(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

// FuzzParseCopyLocation checks that every accepted location belongs to the run.
func FuzzParseCopyLocation(f *testing.F) {
	f.Add("/srv/archive/blobs/aa/" + aHash)
	f.Add("/srv/archive/manifests/x/aa/" + aHash + ".json")
	f.Add("/srv/archive/outputs/rolling/x/../y")
	f.Add(`C:\runs\x\a`)
	f.Fuzz(func(t *testing.T, text string) {
		p := parseCopyLocation("x", text)
		if p == nil {
			return
		}
		full := joinPath("/root", p.path)
		isOwn := !p.archive || strings.HasPrefix(p.path, "blobs/") || strings.HasPrefix(p.path, "manifests/") ||
			strings.HasPrefix(p.path, "outputs/rolling/x/")
		if path.Clean(full) != full || !strings.HasPrefix(full, "/root/") || !isOwn {
			t.Errorf("%q became %q", text, full)
		}
	})
}
