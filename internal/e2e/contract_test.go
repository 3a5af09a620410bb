package e2e

import (
	"bytes"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient/operations"
)

// generations are the demo Viewers that correspond to the real ones.
var generations = map[realviewer.Version]demotest.Generation{
	realviewer.V053: demotest.Gen05,
	realviewer.V060: demotest.Gen06,
	realviewer.V072: demotest.Gen07,
}

// TestDemo_AnswersAsTheRealViewersDo fills real Viewers with the demo's own
// sample, sends the same requests to both, and compares status, media type and
// the shape of the JSON: the demo is what the fast tests of every package rely on.
func TestDemo_AnswersAsTheRealViewersDo(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			real := sampleViewer(t, version)
			demo, err := demotest.New(demotest.Config{Generation: generations[version]})
			if err != nil {
				t.Fatal(err)
			}
			front := httptest.NewServer(demo)
			t.Cleanup(front.Close)
			routes, err := demotest.ContractRoutes(ask(t, demotest.ContractRoute{}, front.URL+"/openapi.json").body)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := sampleResources(t, front.URL), sampleResources(t, real.URL())
			for _, route := range routes {
				want := ask(t, route, real.URL()+route.Expand(theirs))
				got := ask(t, route, front.URL+route.Expand(ours))
				if got.status != want.status || got.mediaType != want.mediaType {
					t.Errorf("%s %s: %d %s, the real Viewer says %d %s", route.Method, route.Path, got.status, got.mediaType, want.status, want.mediaType)
				} else if diff := demotest.CompareShapes(want.body, got.body, route.Free...); diff != "" && want.mediaType == "application/json" {
					t.Errorf("%s %s: the shape differs from the real Viewer's:\n%s", route.Method, route.Path, diff)
				}
			}
		})
	}
}

// sampleViewer starts a real Viewer on the demo's sample, written by the
// release's own SDK.
func sampleViewer(t *testing.T, version realviewer.Version) *realviewer.Viewer {
	t.Helper()
	install := realviewer.Require(t, version)
	sample, err := filepath.Abs("../demoviewer/testdata")
	if err != nil {
		t.Fatal(err)
	}
	storage, work := t.TempDir(), t.TempDir()
	cmd := exec.CommandContext(t.Context(), install.Python, "-c", "import sample; sample.make()")
	cmd.Dir = work
	cmd.Env = []string{
		"HOME=" + work, "RUNICORN_DIR=" + storage, "PYTHONPATH=" + sample, "PYTHONDONTWRITEBYTECODE=1",
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("write the sample with %s: %v\n%s", version, err, out)
	}
	return realviewer.MustStart(t, install, realviewer.Options{Storage: storage})
}

// TestOperations_AreThoseOfTheRealViewers compares the routes in restclient's comments
// with those that each real Viewer describes.
func TestOperations_AreThoseOfTheRealViewers(t *testing.T) {
	ops, err := operations.Read(os.DirFS("../restclient"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			document := ask(t, demotest.ContractRoute{}, lab.Viewer(t, version).URL()+"/openapi.json").body
			report, err := operations.Compare(ops, document, string(version)[:3])
			if err != nil {
				t.Fatal(err)
			}
			for _, route := range report.Vanished {
				t.Errorf("restclient calls %s, which this Viewer lacks", route)
			}
			for _, route := range report.Undeclared {
				t.Errorf("this Viewer has %s, which restclient says it lacks", route)
			}
			for _, route := range report.Missing {
				t.Errorf("this Viewer has %s, which restclient neither calls nor leaves out on purpose", route)
			}
		})
	}
}

// answered is what a Viewer answered.
type answered struct {
	status    int
	mediaType string
	body      []byte
}

func ask(t *testing.T, route demotest.ContractRoute, target string) answered {
	t.Helper()
	method := route.Method
	if method == "" {
		method = http.MethodGet
	}
	header := map[string]string{}
	if route.Send != "" {
		header["Content-Type"] = "application/json"
	}
	if route.Range != "" {
		header["Range"] = route.Range
	}
	resp, body, err := tryHTTP(t, method, target, route.Send, header)
	if err != nil {
		t.Fatal(err)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // an absent one is compared, too
	return answered{status: resp.StatusCode, mediaType: mediaType, body: bytes.TrimSpace(body)}
}

// sampleResources are the parts of the sample that the routes request.
func sampleResources(t *testing.T, base string) map[string]string {
	t.Helper()
	var runs []struct{ ID, Path, Project, Name, Status string }
	getJSON(t, base+"/api/runs", &runs)
	for _, run := range runs {
		if run.Status == "finished" && (run.Path == "vision/resnet" || run.Project+"/"+run.Name == "vision/resnet") {
			var detail struct {
				Metrics string `json:"metrics"`
			}
			getJSON(t, base+"/api/runs/"+run.ID, &detail)
			return map[string]string{
				"run_id":   run.ID,
				"artifact": "resnet-model", "events": url.QueryEscape(detail.Metrics),
			}
		}
	}
	t.Fatal("there is no finished vision/resnet")
	return nil
}
