package httpapi

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRequest_RefusesUnknownFields(t *testing.T) {
	t.Parallel()
	post := func(path, body string) request {
		return request{method: "POST", path: path, body: body, header: jsonBody}
	}
	patch := func(path, body string) request {
		return request{method: "PATCH", path: path, body: body, header: jsonBody}
	}
	const secret = "hunter2"
	b := &backend{unary: answerAny}
	srv := serve(t, b)
	for name, tt := range map[string]struct {
		in     request
		status int
		want   string // in the message
	}{
		"an unknown parameter":             {request{path: "/v1/experiments?nonsense=1"}, 400, "nonsense is not a parameter of this call; its parameters are viewer, filter, metric_names,"},
		"an unknown nested parameter":      {request{path: "/v1/metrics:tail?history_downsample.nonsense=1"}, 400, "history_downsample.nonsense is not a parameter"},
		"a field of a well-known type":     {request{path: "/v1/metrics:tail?heartbeat_interval.seconds=1"}, 400, "heartbeat_interval.seconds is not a parameter"},
		"a call without parameters":        {request{path: "/v1/viewers/main?x=1"}, 400, "its parameters are none"},
		"two wrong parameters":             {request{path: "/v1/experiments?page_size=x&view=y"}, 400, "page_size must be a number of type int32; view must be one of EXPERIMENT_VIEW_UNSPECIFIED, EXPERIMENT_VIEW_BASIC"},
		"a parameter twice":                {request{path: "/v1/experiments?page_size=1&page_size=2"}, 400, "page_size must be set only once"},
		"a parameter by both its names":    {request{path: "/v1/experiments?page_size=1&pageSize=2"}, 400, `duplicate field "page_size"`},
		"a wrong duration":                 {request{path: "/v1/metrics:tail?heartbeat_interval=1"}, 400, "heartbeat_interval must be a duration"},
		"a message as a parameter":         {request{path: "/v1/metrics:tail?history_downsample=x"}, 400, "history_downsample is set by its fields"},
		"a wrong boolean":                  {request{path: "/v1/metrics:tail?positions=maybe"}, 400, "positions must be true or false"},
		"a parameter that is in the path":  {request{path: "/v1/experiments/r1?run_id=r2"}, 400, "run_id is given in the path"},
		"text that is not UTF-8":           {request{path: "/v1/experiments?filter=%ff"}, 400, "filter must be valid UTF-8"},
		"a broken query":                   {request{path: "/v1/experiments?filter=%zz"}, 400, "the query is not properly escaped"},
		"an id with an escaped slash":      {request{path: "/v1/experiments/a%2Fb"}, 400, "run_id must not contain a slash"},
		"the same in small letters":        {request{path: "/v1/experiments/a%2fmetrics"}, 400, "run_id must not contain a slash"},
		"the same escaped twice":           {request{path: "/v1/experiments/a%252Fb/metrics"}, 400, "run_id must not contain a slash"},
		"a viewer with an escaped slash":   {request{path: "/v1/viewers/a%2Fb/experiments/r1"}, 400, "viewer must not contain a slash"},
		"an id that is not UTF-8":          {request{path: "/v1/experiments/%ff"}, 400, "run_id must be valid UTF-8"},
		"a query beside a body":            {post("/v1/experiments:purge?validate_only=true", `{"all_deleted":true}`), 400, "validate_only belongs in the JSON body"},
		"an unknown field":                 {post("/v1/experiments:purge", `{"all_deleted":true,"dry_run":true}`), 400, "dry_run is not a field of this call's body (line 1, column 21)"},
		"a field twice":                    {post("/v1/experiments:purge", `{"validate_only":true,"validateOnly":false}`), 400, "validateOnly is set more than once"},
		"a field of another type":          {post("/v1/experiments:purge", `{"validate_only":"yes"}`), 400, "validate_only must be of type bool"},
		"broken JSON":                      {post("/v1/experiments:purge", `{"validate_only":`), 400, "the body is not the JSON of this call"},
		"JSON with something behind":       {post("/v1/experiments:purge", `{} {}`), 400, "the body is not the JSON of this call"},
		"a list":                           {post("/v1/experiments:purge", `[]`), 400, "the body is not the JSON of this call"},
		"a body that is not UTF-8":         {post("/v1/experiments:purge", "{\"viewer\":\"\xff\"}"), 400, "invalid request"},
		"a body for a call without one":    {request{method: "DELETE", path: "/v1/artifacts/a", body: `{"permanent":true}`, header: jsonBody}, 400, "this call takes no body"},
		"another id in the body":           {request{method: "PATCH", path: "/v1/experiments/r1", body: `{"run_id":"r2"}`, header: jsonBody}, 400, "run_id differs from the one in the path"},
		"a field of another message":       {patch("/v1/experiments/r1", `{"experiment":{"alias":"a"}}`), 400, "experiment is not a field of this call's body"},
		"a field of the body in the query": {patch("/v1/experiments/r1?experiment.alias=a", `{}`), 400, "experiment.alias belongs in the JSON body or in the path"},
		"the body in the query":            {patch("/v1/config?config=a", `{}`), 400, "config belongs in the JSON body or in the path"},
		"an unknown parameter and a body":  {patch("/v1/experiments/r1?x=1", `{"alias":"a"}`), 400, "x is not a parameter of this call; its parameters are update_mask"},
		"a mask that is not UTF-8":         {patch("/v1/experiments/r1?update_mask=%ff", `{"alias":"a"}`), 400, "update_mask must be field names"},
		"two masks":                        {patch("/v1/experiments/r1?update_mask=alias&update_mask=tags", `{}`), 400, "update_mask must be set only once"},
		"an id to change with a slash":     {patch("/v1/experiments/a%2Fb", `{}`), 400, "experiment.run_id must not contain a slash"},
		"another viewer in the body":       {patch("/v1/viewers/main/config", `{"viewer":"b"}`), 400, "viewer differs from the one in the path"},
		"a connection that is not there":   {request{method: "DELETE", path: "/v1/remote/connections/a%2Fb"}, 400, "connection_id must not contain a slash"},
		"a host key without an integer":    {request{method: "DELETE", path: "/v1/remote/host_keys/gpu?port=ssh"}, 400, "port must be a number"},
		"a body that is too large":         {post("/v1/experiments:purge", strings.Repeat(" ", defaultMaxBody+1)), 413, "must not be larger than 1048576 bytes"},
		"a secret of another type":         {post("/v1/remote/connections", `{"target":{"password":["`+secret+`"]}}`), 400, "invalid request"},
		"a secret in broken JSON":          {post("/v1/remote/connections", `{"target":{"password":`+secret+`}}`), 400, "invalid request"},
		"a broken deadline":                {request{path: "/v1/experiments", header: map[string]string{"Grpc-Timeout": "soon"}}, 400, "grpc-timeout"},
		"an unknown route":                 {request{path: "/v1/experiment"}, 404, "there is no /v1/experiment; /docs lists"},
		"an unknown verb":                  {post("/v1/experiments:explode", "{}"), 404, "there is no /v1/experiments:explode"},
		"a method that a route lacks":      {post("/v1/experiments", "{}"), 405, "/v1/experiments has no POST, but GET"},
		"a method that two bindings lack":  {request{method: "PUT", path: "/v1/experiments/r1"}, 405, "has no PUT, but GET, HEAD, PATCH"},
		"a method that a stream lacks":     {request{method: "DELETE", path: "/v1/metrics:tail"}, 405, "has no DELETE, but GET, HEAD, POST"},
		"an id of two dots":                {request{path: "/v1/experiments/%2e%2e/environment?x=1"}, 400, "x is not a parameter"},
		"a resume token that is not UTF-8": {request{path: "/v1/metrics:tail", header: map[string]string{"Last-Event-ID": "\xff"}}, 400, "resume_token must be valid UTF-8"},
		"the same beside a body":           {request{method: "POST", path: "/v1/metrics:tail", header: map[string]string{"Last-Event-ID": "\xff"}}, 400, "Last-Event-ID must be valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			got := do(t, srv, tt.in)
			if got.status != tt.status {
				t.Errorf("status %d, want %d", got.status, tt.status)
			}
			if e := errorOf(t, got); !strings.Contains(e.Message, tt.want) {
				t.Errorf("message %q, want %q in it", e.Message, tt.want)
			}
			if strings.Contains(got.body, secret) {
				t.Errorf("the secret is in the answer: %s", got.body)
			}
			if calls := b.seen(); len(calls) != 0 {
				t.Errorf("reached the gRPC server: %v", calls)
			}
		})
	}
}

func TestRequest_BecomesTheMessage(t *testing.T) {
	t.Parallel()
	patch := func(path, body string) request {
		return request{method: "PATCH", path: path, body: body, header: jsonBody}
	}
	b := &backend{unary: answerAny}
	srv := serve(t, b)
	for name, tt := range map[string]struct {
		in   request
		want string
	}{
		"a query of every kind":         {request{path: "/v1/experiments?viewer=-&filter=tags%3A%22b%2Cc%22+status+%3D+RUNNING&metric_names=a&metric_names=b%2Cc&page_size=3&view=2&allow_partial=true"}, `{"viewer":"-","filter":"tags:\"b,c\" status = RUNNING","metric_names":["a","b,c"],"view":"EXPERIMENT_VIEW_FULL","page_size":3,"allow_partial":true}`},
		"JSON's names in a query":       {request{path: "/v1/experiments?pageSize=3"}, `{"page_size":3}`},
		"a duration in a query":         {request{path: "/v1/metrics:tail?filter=p&heartbeat_interval=1.5s&history_downsample.max_points=9"}, `{"filter":"p","history_downsample":{"max_points":9},"heartbeat_interval":"1.500s"}`},
		"negative steps and a message":  {request{path: "/v1/experiments/r1/series?min_step=-5&limit=2&downsample.max_points=9"}, `{"run_id":"r1","min_step":"-5","limit":2,"downsample":{"max_points":9}}`},
		"a resource name as a path":     {request{path: "/v1/viewers/main/experiments/r1"}, `{"viewer":"main","run_id":"r1"}`},
		"the same as an escaped id":     {request{path: "/v1/experiments/viewers%2Fmain%2Fexperiments%2Fr1/metrics"}, `{"run_id":"viewers/main/experiments/r1"}`},
		"an escaped resource name":      {request{path: "/v1/metrics:tail?run_ids=viewers%2Fmain%2Fexperiments%2Fr1"}, `{"run_ids":["viewers/main/experiments/r1"]}`},
		"an id with spaces and Unicode": {request{path: "/v1/experiments/a%20b%c3%a9+%25"}, `{"run_id":"a bé+%"}`},
		"an id of two dots":             {request{path: "/v1/experiments/%2e%2e"}, `{"run_id":".."}`},
		"a body":                        {request{method: "POST", path: "/v1/experiments:purge", body: ` {"run_ids":["a"],"validateOnly":true} `, header: jsonBody}, `{"run_ids":["a"],"validate_only":true}`},
		"a list of metrics":             {request{path: "/v1/experiments/r1/metrics?metric_names=loss&page_size=1"}, `{"run_id":"r1","metric_names":["loss"],"page_size":1}`},
		"a change without a mask":       {patch("/v1/experiments/r1", `{"alias":"","tags":["a"]}`), `{"experiment":{"run_id":"r1","alias":"","tags":["a"]},"update_mask":"alias,tags"}`},
		"a change that empties":         {patch("/v1/experiments/r1", `{"alias":null,"tags":[]}`), `{"experiment":{"run_id":"r1"},"update_mask":"alias,tags"}`},
		"a change with its etag":        {patch("/v1/viewers/main/experiments/r1", `{"etag":"e","path":"a/b"}`), `{"experiment":{"viewer":"main","run_id":"r1","path":"a/b","etag":"e"},"update_mask":"etag,path"}`},
		"a change with a mask":          {patch("/v1/experiments/r1?update_mask=tags,path", `{"alias":"b","tags":["a"]}`), `{"experiment":{"run_id":"r1","alias":"b","tags":["a"]},"update_mask":"tags,path"}`},
		"the mask by its other name":    {patch("/v1/experiments/r1?updateMask=tags", `{}`), `{"experiment":{"run_id":"r1"},"update_mask":"tags"}`},
		"the id in the body too":        {patch("/v1/experiments/r1", `{"run_id":"r1","alias":"b"}`), `{"experiment":{"run_id":"r1","alias":"b"},"update_mask":"alias,runId"}`},
		"a configuration":               {patch("/v1/config", `{"storageRoot":"/new"}`), `{"config":{"storage_root":"/new"},"update_mask":"storageRoot"}`},
		"another viewer's":              {patch("/v1/viewers/main/config", `{"storage_root":"/new"}`), `{"config":{"viewer":"main","storage_root":"/new"},"update_mask":"storageRoot"}`},
		"a connection to close":         {request{method: "DELETE", path: "/v1/remote/connections/user@gpu:22?viewer=main"}, `{"viewer":"main","connection_id":"user@gpu:22"}`},
		"a host key to remove":          {request{method: "DELETE", path: "/v1/remote/host_keys/gpu.example.org?port=22&key_type=ssh-ed25519"}, `{"host":"gpu.example.org","port":22,"key_type":"ssh-ed25519"}`},
		"a host key of an IPv6 address": {request{method: "DELETE", path: "/v1/remote/host_keys/fe80::1"}, `{"host":"fe80::1"}`},
		"a saved connection to forget":  {request{method: "DELETE", path: "/v1/remote/saved_connections/me@gpu:22"}, `{"saved_connection_id":"me@gpu:22"}`},
		"a path to check":               {request{path: "/v1/remote/path:check?connection_id=c&path=/data"}, `{"connection_id":"c","path":"/data"}`},
		"artifact statistics":           {request{path: "/v1/artifact_stats"}, `{}`},
		"an artifact of that name":      {request{path: "/v1/artifacts/artifact_stats"}, `{"name":"artifact_stats"}`},
		"no body":                       {request{method: "POST", path: "/v1/statuses:check"}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := do(t, srv, tt.in)
			calls := b.seen()
			if len(calls) != 1 {
				t.Fatalf("%d calls: %d %s", len(calls), got.status, got.body)
			}
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(calls[0].req)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := indented(t, string(text)), indented(t, tt.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestRequest_HeadersByAllowList sends what a proxy or an attacker would.
func TestRequest_HeadersByAllowList(t *testing.T) {
	t.Parallel()
	b := &backend{unary: answerAny}
	srv := serve(t, b)
	do(t, srv, request{path: "/v1/experiments", header: map[string]string{
		"Authorization": "Bearer t", "Traceparent": "00-1-2-01", "Tracestate": "a=b", "X-Request-Id": "q1", "Grpc-Timeout": "5S",
		"Cookie": "c", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil", "Grpc-Metadata-Role": "admin", "Grpcgateway-Cookie": "c", "Te": "trailers",
	}})
	calls := b.seen()
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	want := map[string]string{
		"authorization": "Bearer t", "traceparent": "00-1-2-01", "tracestate": "a=b",
		// The address of the caller, as the connection has it.
		"x-forwarded-for": "127.0.0.1",
		// What every gRPC call has.
		":authority": "inprocess", "content-type": "application/grpc", "user-agent": "",
	}
	for key, values := range calls[0].md {
		text, ok := want[key]
		if !ok || len(values) != 1 || (text != "" && values[0] != text) {
			t.Errorf("metadata %s: %q", key, values)
		}
	}
	if len(calls[0].md) != len(want) {
		t.Errorf("metadata %v, want the keys of %v", calls[0].md, want)
	}
}

func TestRoutes_ReachEveryMethod(t *testing.T) {
	t.Parallel()
	b := &backend{}
	srv := serve(t, b)
	table, err := newRouteTable()
	if err != nil {
		t.Fatal(err)
	}
	if len(table) < 75 {
		t.Fatalf("%d routes, which cannot be all", len(table))
	}
	reached := map[string]bool{}
	for key, rt := range table {
		path := pathParam.ReplaceAllString(rt.template, "x")
		got := do(t, srv, request{method: rt.httpMethod, path: path})
		if got.status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", key, got.status, got.body)
		}
		for _, c := range b.seen() {
			reached[c.method] = true
			if c.req.ProtoReflect().Descriptor() != rt.input.Descriptor() {
				t.Errorf("%s reached %s", key, c.method)
			}
		}
		if allowed := table.allowed(path); len(allowed) == 0 {
			t.Errorf("%s is found by grpc-gateway and not by us", key)
		}
	}
	for _, file := range serviceFiles() {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			if name := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(i).Name()); !reached[name] {
				t.Errorf("no route reaches %s", name)
			}
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"page_size=1", "statuses=x&statuses=1", "a.b.c=1", "filter=tags", "history_downsample.max_points=1", "viewer[x]=1", "heartbeat_interval=1", "%ff=1", "=", "page_token", "min_step=99999999999999999999"} {
		f.Add(s)
	}
	rt := &route{input: (&runicornapiv1.TailMetricsRequest{}).ProtoReflect().Type(), stream: true}
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for _, v := range rt.checkQuery(query) {
			if v.GetDescription() == "" {
				t.Fatalf("%q is refused without a word", raw)
			}
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{`{}`, `{"run_ids":["a"]}`, `{"resume_token":1}`, `{"filter":null}`, "\xff", `[`, `{"a":`} {
		f.Add([]byte(s), "id")
	}
	msg := (&runicornapiv1.TailMetricsRequest{}).ProtoReflect()
	rt := &route{input: msg.Type(), content: msg.Type(), stream: true, token: msg.Descriptor().Fields().ByName("resume_token")}
	f.Fuzz(func(t *testing.T, raw []byte, id string) {
		out, bad := rt.checkBody(raw, nil, id)
		if len(bad) > 0 {
			return
		}
		var req runicornapiv1.TailMetricsRequest
		if len(out) > 0 {
			if err := protojson.Unmarshal(out, &req); err != nil {
				t.Fatalf("%q was passed on as %q: %v", raw, out, err)
			}
		}
		if id != "" && (req.GetResumeToken() != id || req.GetStart() != 0) {
			t.Fatalf("%q with Last-Event-ID %q became %v", raw, id, &req)
		}
	})
}

func TestExpandEnums(t *testing.T) {
	rt := &route{input: (&runicornapiv1.ExportExperimentRequest{}).ProtoReflect().Type(), stream: true}
	for raw, want := range map[string]string{
		"format=csv":                "format=EXPORT_FORMAT_CSV",
		"format=Parquet":            "format=EXPORT_FORMAT_PARQUET",
		"format=EXPORT_FORMAT_CSV":  "format=EXPORT_FORMAT_CSV",
		"format=2":                  "format=2",
		"format=xlsx":               "format=xlsx",
		"layout=long":               "layout=EXPORT_LAYOUT_LONG",
		"metric_names=csv&what=csv": "metric_names=csv&what=csv",
	} {
		query, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		rt.expandEnums(query)
		if got := query.Encode(); got != want {
			t.Errorf("%s became %s, want %s", raw, got, want)
		}
	}
}
