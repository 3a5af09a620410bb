package demotest

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// volatile are the fields of captured answers that depend on the time of the request.
var volatile = map[string]bool{
	"deleted_at": true, "orphaned_assets": true, // real Viewers list these in no fixed order
	"hit_rate": true, "hits": true, "misses": true, "size": true, // of a cache that the demo does not have
}

// byShape are the routes with data of the recording machine, which are compared by shape
// only.
var byShape = []string{"/api/storage/stats", "/api/system/monitor", "/api/artifacts/resnet-model/v", "/lineage"}

func TestViewer_ReproducesEveryCapturedAnswer(t *testing.T) {
	for _, release := range Generations() {
		t.Run(string(release), func(t *testing.T) {
			b := newBed(t, Config{Generation: release})
			for i, want := range b.Captured() {
				if isLeftOut(want.Path) {
					continue
				}
				send := ""
				if want.Send != nil {
					send = string(want.Send)
				}
				var headers []string
				for name, value := range want.SentHeaders {
					headers = append(headers, name, value)
				}
				got := b.ask(want.Method, want.Path, send, headers...)
				if diff := compareReply(want, got); diff != "" {
					t.Errorf("answer %d, %s %s %.80s: %s", i, want.Method, want.Path, send, diff)
				}
			}
		})
	}
}

// isLeftOut selects routes of real Viewers that the server does not call.
func isLeftOut(path string) bool {
	if path == "/api/paths/soft-delete" {
		return false
	}
	return slices.ContainsFunc(leftOut, func(part string) bool { return strings.Contains(path, part) })
}

// leftOut are parts of the paths of routes that the demo does not support.
var leftOut = []string{
	"/api/paths", "/api/projects", "/api/runs/export", "/api/metrics/cache/stats",
	"/training-metrics", "/performance-history", "/api/remote/connections/saved",
}

// compareReply describes how an answer differs from the captured one.
func compareReply(want demoviewer.Captured, got reply) string {
	if got.status != want.Status {
		return cmp.Diff(want.Status, got.status) + string(got.body[:min(len(got.body), 200)])
	}
	for name, value := range want.Headers {
		shown := got.header.Get(name)
		if shown != value {
			return "header " + name + ": want " + value + ", got " + shown
		}
	}
	if !strings.HasPrefix(want.Headers["content-type"], "application/json") && want.Path != "/openapi.json" {
		var text string
		if err := json.Unmarshal(want.Body, &text); err != nil {
			return "" // status.json as a download has its own test below
		}
		if strings.Contains(text, "\ufffd") || text == "PK" {
			return ""
		}
		if !strings.HasPrefix(string(got.body), text) {
			return cmp.Diff(text, string(got.body))
		}
		return ""
	}
	if want.Method == "HEAD" {
		return ""
	}
	for _, part := range byShape {
		if strings.Contains(want.Path, part) {
			return CompareShapes(want.Body, got.body)
		}
	}
	var a, b any
	if err := json.Unmarshal(want.Body, &a); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(got.body, &b); err != nil {
		return err.Error() + ": " + string(got.body[:min(len(got.body), 200)])
	}
	return cmp.Diff(a, b, cmp.FilterPath(isVolatile, cmp.Comparer(sameKind)))
}

// isVolatile selects the values under volatile keys.
func isVolatile(p cmp.Path) bool {
	key, isIndex := p.Index(-1).(cmp.MapIndex)
	return isIndex && volatile[key.Key().String()] && p.Last().Type().Kind().String() == "interface"
}

// sameKind compares the types of two values.
func sameKind(a, b any) bool {
	_, aNumber := a.(float64)
	_, bNumber := b.(float64)
	return aNumber == bNumber
}

func TestViewer_AnswersWithEpochSeconds(t *testing.T) {
	clock := newClock()
	b := newBed(t, Config{Clock: clock.now})
	id := b.AddRun(Run{Path: "a/b", Status: "finished"})
	b.ask("POST", "/api/runs/soft-delete", `{"run_ids":["`+id+`"]}`)
	bin := get[struct {
		Deleted []struct {
			At float64 `json:"deleted_at"`
		} `json:"deleted_runs"`
	}](b, "/api/recycle-bin")
	want := float64(clock.at.Unix())
	if len(bin.Deleted) != 1 || math.Abs(bin.Deleted[0].At-want) > float64(time.Millisecond)/1e9 {
		t.Errorf("deleted_at = %+v, want %v", bin.Deleted, want)
	}
}
