package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestRoutes_AllowListsTheMethodsOfThePath: of every path, the methods that Allow names are
// served and no others, and HEAD is wherever GET is, without a body.
func TestRoutes_AllowListsTheMethodsOfThePath(t *testing.T) {
	table, err := newRouteTable()
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string][]string{} // by path
	for _, rt := range table {
		path := pathParam.ReplaceAllString(rt.template, "x1")
		for _, other := range table { // an id may have a colon: x1:export is one of GET …/{run_id} too
			if other.matches(path) && !slices.Contains(methods[path], other.httpMethod) {
				methods[path] = append(methods[path], other.httpMethod)
			}
		}
	}
	for path, served := range methods {
		if slices.Contains(served, http.MethodGet) {
			methods[path] = append(served, http.MethodHead)
		}
	}
	srv := serve(t, &backend{})
	for path, served := range methods {
		t.Run(path, func(t *testing.T) {
			slices.Sort(served)
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut} {
				got := do(t, srv, request{method: method, path: path})
				if slices.Contains(served, method) {
					if got.status == http.StatusMethodNotAllowed {
						t.Errorf("%s is not served", method)
					}
				} else if allow := got.header.Get("Allow"); got.status != http.StatusMethodNotAllowed || allow != strings.Join(served, ", ") {
					t.Errorf("%s: %d, Allow %q, want %v", method, got.status, allow, served)
				}
				if method == http.MethodHead && got.body != "" {
					t.Errorf("HEAD has the body %q", got.body)
				}
			}
		})
	}
}

// TestRoutes_HEADOfAStreamOpensNothing: it has the headers of the stream.
func TestRoutes_HEADOfAStreamOpensNothing(t *testing.T) {
	srv := serve(t, &backend{}) // whose streams are all UNIMPLEMENTED
	for path, header := range map[string]map[string]string{
		"/v1/metrics:tail?run_ids=r1":     {"Accept": mediaEvents},
		"/v1/metrics:stream?run_ids=r1":   nil,
		"/v1/experiments:watch":           nil,
		"/v1/experiments/r1/logs:tail":    nil,
		"/v1/metrics:tail?nonsense=1":     nil,
		"/v1/viewers/v/experiments/r/xyz": nil,
	} {
		got := do(t, srv, request{method: http.MethodHead, path: path, header: header})
		want, contentType := http.StatusOK, mediaLines
		if header != nil {
			contentType = mediaEvents
		}
		switch {
		case strings.Contains(path, "nonsense"):
			want, contentType = http.StatusBadRequest, "application/json"
		case strings.HasSuffix(path, "xyz"):
			want, contentType = http.StatusNotFound, "application/json"
		}
		if got.status != want || !strings.HasPrefix(got.header.Get("Content-Type"), contentType) {
			t.Errorf("%s: %d %s, want %d %s", path, got.status, got.header.Get("Content-Type"), want, contentType)
		}
	}
}
