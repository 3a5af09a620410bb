package operations_test

import (
	"os"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient/operations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var viewers = []struct{ version, generation string }{{"0.5.3", "0.5"}, {"0.6.0", "0.6"}, {"0.7.2", "0.7"}}

func TestCompare_RecordedViewers(t *testing.T) {
	ops, err := operations.Read(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range viewers {
		t.Run(v.version, func(t *testing.T) {
			document, err := os.ReadFile("../testdata/" + v.version + "/openapi.json")
			if err != nil {
				t.Fatal(err)
			}
			report, err := operations.Compare(ops, document, v.generation)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Missing) > 0 || len(report.Vanished) > 0 || len(report.Undeclared) > 0 {
				t.Errorf("missing %q\nvanished %q\nundeclared %q", report.Missing, report.Vanished, report.Undeclared)
			}
			if want := []string{operations.Socket + " /api/runs/{}/logs/ws"}; !slices.Equal(report.Sockets, want) {
				t.Errorf("sockets %q, want %q", report.Sockets, want)
			}
			t.Logf("%d covered, %d intentionally unused", len(report.Covered), len(report.Unused))
		})
	}
}

func TestCompare_ClassifiesEveryRoute(t *testing.T) {
	ops := []operations.Operation{
		{Method: "GET", Path: "/api/a/{id}", Generations: []string{"0.5"}},
		{Method: "GET", Path: "/api/b", Generations: []string{"0.6"}},
		{Method: "POST", Path: "/api/gone", Generations: []string{"0.5"}},
		{Method: operations.Socket, Path: "/api/a/{id}/ws", Generations: []string{"0.5"}},
		{Method: operations.Socket, Path: "/api/new/ws", Generations: []string{"0.6"}},
	}
	document := `{"paths":{"/api/a/{x}":{"get":{}},"/api/b":{"get":{}},"/api/new":{"put":{}},"/api/v2/all":{"get":{}}}}`
	got, err := operations.Compare(ops, []byte(document), "0.5")
	if err != nil {
		t.Fatal(err)
	}
	want := operations.Report{
		Covered:    []string{"GET /api/a/{}"},
		Unused:     []string{"GET /api/v2/all"},
		Missing:    []string{"GET /openapi.json", "PUT /api/new"},
		Vanished:   []string{"POST /api/gone"},
		Sockets:    []string{"SOCKET /api/a/{}/ws"},
		Undeclared: []string{"GET /api/b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRead_RefusesAMalformedLine(t *testing.T) {
	for _, line := range []string{"//viewer:operation GET /api", "//viewer:operation GET /api 0.6 0.5", "//viewer:socket /api"} {
		folder := fstest.MapFS{"a.go": {Data: []byte(line + "\n")}}
		if _, err := operations.Read(folder); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}
