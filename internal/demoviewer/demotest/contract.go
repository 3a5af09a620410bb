package demotest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ContractRoute is a request that a demo and a real Viewer must answer alike: same status,
// media type and shape.
type ContractRoute struct {
	Method string
	// Path has the placeholders {run_id}, {artifact} and {events} (the query-escaped path
	// of the run's event file); see Expand.
	Path string
	// Send is a JSON body, or empty.
	Send string
	// Range is a Range header, or empty.
	Range string
	// Free are the keys of objects whose own keys are data; for CompareShapes.
	Free []string
	// template is the route that the generation must have.
	template string
}

// Expand replaces the placeholders of the path.
func (c ContractRoute) Expand(values map[string]string) string {
	pairs := make([]string, 0, 2*len(values))
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(c.Path)
}

// contract lists the requests of all generations. None of them changes anything.
var contract = []ContractRoute{
	{Path: "/api/health"},
	{Path: "/api/config"},
	{Path: "/api/runs"},
	{Path: "/api/runs/{run_id}", Free: []string{"summary", "config"}},
	{Path: "/api/runs/20200101_000000_abcdef", template: "/api/runs/{run_id}"},
	{Path: "/api/runs/{run_id}/metrics", Free: []string{"rows"}},
	{Path: "/api/runs/{run_id}/metrics_step", Free: []string{"rows"}},
	{Path: "/api/runs/{run_id}/metrics_step?downsample=99", template: "/api/runs/{run_id}/metrics_step"},
	{Path: "/api/runs/{run_id}/metrics_step?downsample=x", template: "/api/runs/{run_id}/metrics_step"},
	{Path: "/api/runs/{run_id}/progress"},
	{Path: "/api/runs/{run_id}/images"},
	{Path: "/api/runs/{run_id}/artifacts"},
	{Path: "/api/runs/{run_id}/assets", Free: []string{"config"}},
	{Path: "/api/runs/{run_id}/assets/refs"},
	{Path: "/api/runs/{run_id}/assets/download?path={events}", Range: "bytes=0-0"},
	{Path: "/api/runs/{run_id}/assets/download?path={events}", Range: "bytes=999999999-"},
	{Path: "/api/runs/{run_id}/assets/download?path={events}", Range: "bytes=a-b"},
	{Path: "/api/runs/{run_id}/assets/download?path=%2Fetc%2Fhostname"},
	{Path: "/api/runs/{run_id}/assets/download"},
	{Path: "/api/environment/{run_id}", Free: []string{"environment"}},
	{Path: "/api/environment/nope", template: "/api/environment/{run_id}"},
	{Path: "/api/recycle-bin"},
	{Path: "/api/gpu/telemetry"},
	{Path: "/api/system/monitor", Free: []string{"frequency", "disk"}},
	{Path: "/api/storage/stats", Free: []string{"by_category"}},
	{Path: "/api/artifacts", Free: []string{"aliases"}},
	{Path: "/api/artifacts/stats", Free: []string{"by_type"}},
	{Path: "/api/artifacts/{artifact}/versions", template: "/api/artifacts/{artifact_name}/versions"},
	{
		Path: "/api/artifacts/{artifact}/v1", template: "/api/artifacts/{artifact_name}/v{version}",
		Free: []string{"metadata"},
	},
	{Path: "/api/artifacts/{artifact}/v0", template: "/api/artifacts/{artifact_name}/v{version}"},
	{Path: "/api/artifacts/{artifact}/v99", template: "/api/artifacts/{artifact_name}/v{version}"},
	{Path: "/api/artifacts/{artifact}/vx", template: "/api/artifacts/{artifact_name}/v{version}"},
	{Path: "/api/artifacts/{artifact}/v1/files", template: "/api/artifacts/{artifact_name}/v{version}/files"},
	{
		Path: "/api/artifacts/{artifact}/v1/lineage", template: "/api/artifacts/{artifact_name}/v{version}/lineage",
		Free: []string{"metadata"},
	},
	{Path: "/api/remote/status"},
	{Path: "/api/remote/sessions"},
	{Path: "/api/remote/viewer/sessions"},
	{Path: "/api/remote/viewer/status/nope", template: "/api/remote/viewer/status/{session_id}"},
	{Path: "/api/remote/known-hosts/list"},
	{Path: "/api/remote/fs/list?connection_id=u@h:22&path=/"},
	{Path: "/api/remote/fs/exists?connection_id=bogus&path=/"},
	{Path: "/api/remote/conda-envs"},
	{Path: "/api/remote/config?connection_id=u@h:22"},
	{Path: "/api/config/ssh_connections"},
	{Path: "/api/nope", template: "*"},
	{Path: "/api/runs/", template: "*"},
	{Method: "HEAD", Path: "/api/runs", template: "*"},
	{Method: "POST", Path: "/api/runs", Send: "{}", template: "*"},
	{Method: "POST", Path: "/api/export", Send: "{}", template: "*"},
	{Method: "POST", Path: "/api/status/check"},
	{Method: "POST", Path: "/api/runs/soft-delete", Send: `{"run_ids":["bad"]}`},
	{Method: "POST", Path: "/api/runs/soft-delete", Send: `{"run_ids":["20200101_000000_abcdef"]}`, Free: []string{"results"}},
	{Method: "POST", Path: "/api/runs/soft-delete", Send: `[1]`},
	{Method: "POST", Path: "/api/runs/soft-delete"},
	{Method: "POST", Path: "/api/recycle-bin/restore", Send: `{"run_ids":["20200101_000000_abcdef"]}`, Free: []string{"results"}},
	{Method: "POST", Path: "/api/recycle-bin/empty", Send: `{"confirm":false}`},
	{Method: "PATCH", Path: "/api/runs/20200101_000000_abcdef", Send: `{}`, template: "/api/runs/{run_id}"},
	{Method: "PATCH", Path: "/api/runs/{run_id}", Send: `{"alias":3}`},
	{Method: "DELETE", Path: "/api/runs/20200101_000000_abcdef/permanent", template: "/api/runs/{run_id}/permanent"},
	{Method: "DELETE", Path: "/api/runs/{run_id}/permanent?dry_run=true"},
	{Method: "POST", Path: "/api/paths/soft-delete", Send: `{"path":"no/such/path"}`},
	{Method: "POST", Path: "/api/remote/disconnect", Send: `{"host":"h","username":"u"}`},
	{Method: "POST", Path: "/api/remote/disconnect", Send: `{"host":"h"}`},
	{Method: "POST", Path: "/api/remote/viewer/stop", Send: `{"session_id":"nope"}`},
}

// ContractRoutes returns the requests that a Viewer must answer like the real one of its
// generation. The description is the Viewer's /openapi.json.
func ContractRoutes(description []byte) ([]ContractRoute, error) {
	var api struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(description, &api); err != nil {
		return nil, fmt.Errorf("read a Viewer's description: %w", err)
	}
	var routes []ContractRoute
	for _, c := range contract {
		if c.Method == "" {
			c.Method = "GET"
		}
		if c.template == "" {
			c.template, _, _ = strings.Cut(c.Path, "?")
		}
		if _, exists := api.Paths[c.template][strings.ToLower(c.Method)]; exists || c.template == "*" {
			routes = append(routes, c)
		}
	}
	return routes, nil
}
