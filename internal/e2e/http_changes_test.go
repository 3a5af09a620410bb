package e2e

import (
	"net/url"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// TestChanges_OverHTTP changes things by PATCH, where the fields of the body are
// the mask, and by DELETE.
func TestChanges_OverHTTP(t *testing.T) {
	t.Parallel()
	s := mustStart(t, "--viewer=full="+fullDemo(t), "--allow-config-writes")
	list, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: `path:"vision" status = FINISHED`, PageSize: 1})
	if err != nil || len(list.GetExperiments()) != 1 {
		t.Fatal(list, err)
	}
	run := list.GetExperiments()[0]
	at := "http://" + s.httpAddr + "/v1/experiments/" + run.GetRunId()
	saved, err := s.remote.SaveConnection(t.Context(), &runicornapiv1.SaveConnectionRequest{
		Target: &runicornapiv1.SshTarget{Host: "gpu", Username: "me", UseAgent: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, at, body string
		want                   string // in the answer, without its spaces
	}{
		{"alias and tags", "PATCH", at, `{"alias":"one","tags":["a","b"]}`, `"alias":"one","tags":["a","b"]`},
		{"the alias alone", "PATCH", at, `{"alias":"two"}`, `"alias":"two","tags":["a","b"]`},
		{"the id in the body", "PATCH", at, `{"run_id":"` + run.GetRunId() + `","alias":"three"}`, `"alias":"three","tags":["a","b"]`},
		{"no tags", "PATCH", at, `{"tags":[]}`, `"alias":"three","tags":[]`},
		{"a mask that leaves the alias out", "PATCH", at + "?update_mask=tags", `{"alias":"four","tags":["c"]}`, `"alias":"three","tags":["c"]`},
		{"an etag of another state", "PATCH", at, `{"alias":"five","etag":"x"}`, `"ETAG_MISMATCH"`},
		{"what cannot be changed", "PATCH", at, `{"project":"other"}`, `\"project\"cannotbechanged`},
		{"nothing", "PATCH", at, `{}`, `"INVALID_REQUEST"`},
		{"no body", "PATCH", at, ``, `"INVALID_REQUEST"`},
		{"by its resource name", "PATCH", "http://" + s.httpAddr + "/v1/viewers/full/experiments/" + run.GetRunId(), `{"alias":"six"}`, `"alias":"six"`},
		{"a storage root", "PATCH", "http://" + s.httpAddr + "/v1/config", `{"storage_root":"/demo/other"}`, `"storage_root":"/demo/other"`},
		{"what is no configuration", "PATCH", "http://" + s.httpAddr + "/v1/config", `{"storage":"/demo/other"}`, `"INVALID_REQUEST"`},
		{
			"a saved connection", "DELETE",
			"http://" + s.httpAddr + "/v1/remote/saved_connections/" + url.PathEscape(saved.GetSavedConnection().GetSavedConnectionId()), ``,
			`"saved_connection_id":"` + saved.GetSavedConnection().GetSavedConnectionId() + `"`,
		},
		{"a host key that is not there", "DELETE", "http://" + s.httpAddr + "/v1/remote/host_keys/gpu?port=22&key_type=ssh-ed25519", ``, `"removed":false`},
		{"a connection that is not there", "DELETE", "http://" + s.httpAddr + "/v1/remote/connections/me@gpu:22", ``, `"NOT_FOUND"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.ReplaceAll(sendJSON(t, tt.method, tt.at, tt.body), " ", ""); !strings.Contains(got, tt.want) {
				t.Errorf("%s %s %s: %s, want %s in it", tt.method, tt.at, tt.body, got, tt.want)
			}
		})
	}
}
