package restclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// recordedViewer serves recorded answers of a release by path.
func recordedViewer(version string, answers map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		name, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"Run not found"}`) // the client may have disconnected
			return
		}
		body, err := os.ReadFile(filepath.Join("testdata", version, name))
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body) // the client may have disconnected
	}))
}

// List the runs of a Viewer.
func Example() {
	viewer := recordedViewer("0.6.0", map[string]string{"/openapi.json": "openapi.json", "/api/runs": "runs_list.json"})
	defer viewer.Close()

	client, err := restclient.New(restclient.Config{BaseURL: viewer.URL, Name: "lab"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	list, err := client.Runs(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, run := range list.Runs[:3] {
		fmt.Println(run.ID, run.Status.Value, run.Path.Value)
	}
	// Output:
	// 20261123_152612_81643a failed dead/x
	// 20261123_153018_ed7f0a finished ds/mixed
	// 20261123_153018_385efa finished ds/stagenum
}

// The capabilities of a Viewer depend on its release. A call without its capability fails
// before a request is sent.
func ExampleClient_Capabilities() {
	viewer := recordedViewer("0.5.3", map[string]string{"/openapi.json": "openapi.json"})
	defer viewer.Close()

	client, err := restclient.New(restclient.Config{BaseURL: viewer.URL, Name: "lab"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	caps, err := client.Capabilities(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("generation", caps.Generation, "serves files:", caps.Has(restclient.CapFiles))
	_, err = client.EventFile(context.Background(), "20261123_151105_e4a55c", 0)
	if e, ok := errors.AsType[*restclient.Error](err); ok {
		fmt.Println(e.Kind)
		fmt.Println("instead:", e.Alternative)
	}
	// Output:
	// generation 0.5 serves files: false
	// not supported by this viewer
	// instead: read the merged metrics table
}

// The kind of an error tells how to react.
func ExampleError() {
	viewer := recordedViewer("0.6.0", map[string]string{"/openapi.json": "openapi.json"})
	defer viewer.Close()

	client, err := restclient.New(restclient.Config{BaseURL: viewer.URL, Name: "lab"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.GetRun(context.Background(), "20261123_151105_e4a55c")
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindNotFound {
		fmt.Println("no", e.Resource, e.ResourceID, "on viewer", e.Viewer)
	}
	// Output:
	// no run 20261123_151105_e4a55c on viewer lab
}
