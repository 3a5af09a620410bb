package compat

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestRoutes_HEADIsRoutedAsGET, and Allow names the methods of each path.
func TestRoutes_HEADIsRoutedAsGET(t *testing.T) {
	methods := map[string][]string{}
	for i := range routes {
		rt := &routes[i]
		path := rt.prefix
		if rt.id {
			path += "x1" + rt.suffix
		}
		methods[path] = append(methods[path], rt.method)
		if rt.method == http.MethodGet {
			methods[path] = append(methods[path], http.MethodHead)
		}
	}
	for path, served := range methods {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
			_, _, err := match(httptest.NewRequest(method, path, http.NoBody))
			p, refused := err.(*problem) //nolint:errorlint // match returns it as it is
			switch {
			case slices.Contains(served, method):
				if refused && p.status == http.StatusMethodNotAllowed {
					t.Errorf("%s %s is refused", method, path)
				}
			case !refused || p.status != http.StatusMethodNotAllowed || p.allow != strings.Join(served, ", "):
				t.Errorf("%s %s: %v, want Allow %v", method, path, err, served)
			}
		}
	}
}
