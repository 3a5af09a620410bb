package compat

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// route is one path of the client: prefix, then an id if `id` is set, then
// suffix.
type route struct {
	method, prefix, suffix string
	id                     bool
	params                 []string
	handle                 func(*compat, context.Context, *input) (answer, error)
}

// routes has every path that the client calls. The first match is used, so a path with a
// suffix precedes the one without. An id may contain slashes: a resource name
// viewers/NAME/experiments/ID is accepted for a run id, and selects other Viewers.
var routes = []route{
	{method: http.MethodGet, prefix: "/api/health", handle: (*compat).health},
	{method: http.MethodGet, prefix: "/api/config", handle: (*compat).getConfig},
	{method: http.MethodPut, prefix: "/api/config", handle: (*compat).updateConfig},
	{method: http.MethodGet, prefix: "/api/gpu", handle: (*compat).gpu},

	{
		method: http.MethodGet, prefix: "/api/experiments", handle: (*compat).listExperiments,
		params: []string{"project", "name", "status", "limit", "offset"},
	},
	{
		method: http.MethodGet, prefix: "/api/experiments/", suffix: "/artifacts", id: true,
		handle: (*compat).experimentArtifacts, params: []string{"relation"},
	},
	{method: http.MethodGet, prefix: "/api/runs/", id: true, handle: (*compat).getExperiment},
	{method: http.MethodGet, prefix: "/api/projects", handle: (*compat).listProjects},
	{
		method: http.MethodGet, prefix: "/api/metrics/", id: true, handle: (*compat).getMetrics,
		params: []string{"metrics", "limit"},
	},
	{method: http.MethodPost, prefix: "/api/export", handle: (*compat).export},

	{
		method: http.MethodGet, prefix: "/api/artifacts", handle: (*compat).listArtifacts,
		params: []string{"type", "limit", "offset"},
	},
	{method: http.MethodGet, prefix: "/api/artifacts/", suffix: "/versions", id: true, handle: (*compat).listVersions},
	{method: http.MethodGet, prefix: "/api/artifacts/", suffix: "/lineage", id: true, handle: (*compat).lineage},
	{method: http.MethodGet, prefix: "/api/artifacts/", id: true, handle: (*compat).getArtifact},

	{method: http.MethodPost, prefix: "/api/remote/connect", handle: (*compat).connect},
	{method: http.MethodPost, prefix: "/api/remote/disconnect", handle: (*compat).disconnect},
	{method: http.MethodGet, prefix: "/api/remote/sessions", handle: (*compat).listConnections},
	{method: http.MethodGet, prefix: "/api/remote/status", handle: (*compat).remoteStatus},
	{method: http.MethodPost, prefix: "/api/remote/viewer/start", handle: (*compat).startViewer},
	{method: http.MethodPost, prefix: "/api/remote/viewer/stop", handle: (*compat).stopViewer},
	{method: http.MethodGet, prefix: "/api/remote/viewer/sessions", handle: (*compat).listSessions},
	{
		method: http.MethodGet, prefix: "/api/remote/fs/list", handle: (*compat).listDirectory,
		params: []string{"connection_id", "path"},
	},
	{
		method: http.MethodGet, prefix: "/api/remote/fs/exists", handle: (*compat).checkPath,
		params: []string{"connection_id", "path"},
	},
}

// find reports whether a path belongs to the route, and returns the id in it.
func (rt *route) find(path string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(path, rt.prefix)
	if !ok || !rt.id {
		return "", ok && rest == ""
	}
	id, ok = strings.CutSuffix(rest, rt.suffix)
	return id, ok && id != ""
}

// match finds the route of a request and parses everything except the body. HEAD is
// answered as GET; net/http drops the body.
func match(r *http.Request) (*route, *input, error) {
	if !utf8.ValidString(r.URL.Path) {
		return nil, nil, invalid("the path is not UTF-8")
	}
	method, other := r.Method, []string(nil)
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range routes {
		rt := &routes[i]
		id, ok := rt.find(r.URL.Path)
		if !ok {
			continue
		}
		if rt.method != method {
			if slices.Contains(other, rt.method) {
				continue // an id may look like the end of another path
			}
			if other = append(other, rt.method); rt.method == http.MethodGet {
				other = append(other, http.MethodHead)
			}
			continue
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, nil, invalid("the query is not properly escaped")
		}
		return rt, &input{id: id, query: query}, checkQuery(query, rt.params)
	}
	if len(other) > 0 {
		return nil, nil, &problem{
			status: http.StatusMethodNotAllowed, Reason: reasonNoRoute, allow: strings.Join(other, ", "),
			Detail: r.URL.Path + " has no " + r.Method,
		}
	}
	return nil, nil, &problem{
		status: http.StatusNotFound, Reason: reasonNoRoute,
		Detail: "the documented client has no path " + r.URL.Path + "; /docs lists the paths of this server's own API",
	}
}
