package operations

import "strings"

// unused lists the routes that are never called, with the reasons. An entry that ends in a
// slash covers everything below it.
var unused = []struct{ route, reason string }{
	{"/api/v2/", "the first call copies the whole storage root, and the answers are empty or frozen"},
	{"GET /api/config/ssh_connections/{}/details", "it returns stored passwords and keys"},
	{"/api/config/column-widths/", "preferences of the web page"},
	{"/api/config/dismissed-alerts/", "preferences of the web page"},
	{"GET /api/config/storage-candidates", "it walks the Viewer's disk; the root is switched by path"},
	{"GET /api/remote/storage-candidates", "it walks the remote disk; directories are listed instead"},
	{"GET /api/remote/env-configs", "environments and their configuration are read separately"},
	{"/api/remote/connections/saved/", "a duplicate of the saved connections of /api/config"},
	{"/api/diagnostics/", "the Viewer's own log is not part of the API"},
	{"/api/import/", "503 before 0.7, and no RPC imports archives"},
	{"/api/export/", "501 in every released package"},
	{"/api/experiments/", "501, or an empty answer: filtering is done on the list"},
	{"GET /api/metrics/cache/stats", "global counters of the Viewer, useless as a signal of change"},
	{"GET /api/runs/{}/metrics", "identical to metrics_step"},
	{"GET /api/runs/{}/progress", "a constant"},
	{"GET /api/projects", "projects are derived from the list, with counts"},
	{"/api/projects/", "projects are derived from the list, with counts"},
	{"GET /api/paths", "paths are derived from the list"},
	{"GET /api/paths/runs", "the list has them all, and tags, which this route lacks in 0.6"},
	{"GET /api/paths/tree", "paths are derived from the list"},
	{"POST /api/runs/export", "packing a run costs 0.7 as much as one request for its event log"},
	{"DELETE /api/runs/{}/permanent", "runs are purged in batches, even a single one"},
	{"POST /api/paths/create", "no RPC creates empty folders"},
	{"POST /api/paths/soft-delete", "runs are deleted by id, so that each has its own result"},
	{"GET /api/gpu/telemetry/history", "history for the web page"},
	{"/api/gpu/telemetry/config/", "preferences of the web page"},
	{"GET /api/system/temperatures", "always empty"},
	{"GET /api/artifacts/{}/training-metrics", "the summary of the run that made the version"},
	{"GET /api/artifacts/{}/performance-history", "the summaries of the runs that made the versions"},
	{"GET /api/artifacts/{}/evaluations", "model evaluation is not part of the documented client"},
	{"POST /api/artifacts/{}/v{}/evaluate", "model evaluation is not part of the documented client"},
}

// Reason returns why a route, such as "GET /api/runs/{}/progress", is never called; it is
// empty for a route that is not on the list.
func Reason(route string) string {
	_, path, _ := strings.Cut(route, " ")
	for _, entry := range unused {
		if entry.route == route || (strings.HasSuffix(entry.route, "/") && strings.HasPrefix(path+"/", entry.route)) {
			return entry.reason
		}
	}
	return ""
}
