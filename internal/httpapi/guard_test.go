package httpapi

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/netaddr"
)

// purge is the request that no web page may make.
func purge(header map[string]string) request {
	all := map[string]string{"Content-Type": "application/json"}
	maps.Copy(all, header)
	return request{method: "POST", path: "/v1/experiments:purge", body: `{"all_deleted":true}`, header: all}
}

func withHost(r request, host string) request {
	r.host = host
	return r
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const own = "127.0.0.1:23311" // sent as Host
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	get := func(header map[string]string) request {
		return request{path: "/v1/experiments", host: own, header: header}
	}
	for name, tt := range map[string]struct {
		in     request
		status int // 200 means that the call reached the gRPC server
		reason string
	}{
		"a program without browser headers passes":      {purge(nil), 200, ""},
		"localhost passes":                              {withHost(purge(nil), "localhost:23311"), 200, ""},
		"localhost in capitals and with a dot passes":   {withHost(purge(nil), "LOCALHOST.:1"), 200, ""},
		"any address of 127.0.0.0/8 passes":             {withHost(purge(nil), "127.8.9.10"), 200, ""},
		"IPv6 loopback passes":                          {withHost(purge(nil), "[::1]:23311"), 200, ""},
		"an allowed name passes with any port":          {withHost(purge(nil), "runs.example:99"), 200, ""},
		"an allowed name with port passes with that":    {withHost(purge(nil), "lab.example:8443"), 200, ""},
		"an allowed name with port fails with another":  {withHost(purge(nil), "lab.example:1"), 421, "FEATURE_DISABLED"},
		"a rebound name is refused":                     {withHost(purge(nil), "evil.example:23311"), 421, "FEATURE_DISABLED"},
		"a name that looks like loopback is refused":    {withHost(purge(nil), "127.0.0.1.evil.example"), 421, "FEATURE_DISABLED"},
		"a name under an allowed name is refused":       {withHost(purge(nil), "x.runs.example"), 421, "FEATURE_DISABLED"},
		"another address is refused":                    {withHost(purge(nil), "192.168.0.4:23311"), 421, "FEATURE_DISABLED"},
		"the unspecified address is refused":            {withHost(purge(nil), "0.0.0.0:23311"), 421, "FEATURE_DISABLED"},
		"reading by a rebound name is refused":          {request{path: "/v1/experiments", host: "evil.example"}, 421, "FEATURE_DISABLED"},
		"pages by a rebound name are refused":           {request{path: "/docs", host: "evil.example"}, 421, "FEATURE_DISABLED"},
		"our own page passes":                           {withHost(purge(map[string]string{"Origin": "http://" + own, "Sec-Fetch-Site": "same-origin"}), own), 200, ""},
		"our own page through a TLS proxy passes":       {withHost(purge(map[string]string{"Origin": "https://runs.example"}), "runs.example"), 200, ""},
		"a cross-origin POST is refused":                {withHost(purge(map[string]string{"Origin": "https://evil.example"}), own), 403, "FEATURE_DISABLED"},
		"another port of this machine is refused":       {withHost(purge(map[string]string{"Origin": "http://127.0.0.1:8888"}), own), 403, "FEATURE_DISABLED"},
		"origin null is refused":                        {withHost(purge(map[string]string{"Origin": "null"}), own), 403, "FEATURE_DISABLED"},
		"an empty origin is refused":                    {withHost(purge(map[string]string{"Origin": ""}), own), 403, "FEATURE_DISABLED"},
		"an origin with a path is refused":              {withHost(purge(map[string]string{"Origin": "https://ui.example/"}), own), 403, "FEATURE_DISABLED"},
		"an allowed origin passes":                      {withHost(purge(map[string]string{"Origin": "https://ui.example", "Sec-Fetch-Site": "cross-site"}), own), 200, ""},
		"an allowed origin with its default port":       {withHost(purge(map[string]string{"Origin": "https://ui.example:443"}), own), 200, ""},
		"an allowed origin by http is another one":      {withHost(purge(map[string]string{"Origin": "http://ui.example"}), own), 403, "FEATURE_DISABLED"},
		"a cross-origin GET is refused":                 {get(map[string]string{"Origin": "https://evil.example"}), 403, "FEATURE_DISABLED"},
		"a cross-site POST without origin is refused":   {purge(map[string]string{"Sec-Fetch-Site": "cross-site"}), 403, "FEATURE_DISABLED"},
		"a same-site POST without origin is refused":    {purge(map[string]string{"Sec-Fetch-Site": "same-site"}), 403, "FEATURE_DISABLED"},
		"a cross-site image is refused":                 {get(map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}), 403, "FEATURE_DISABLED"},
		"a cross-site frame is refused":                 {get(map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}), 403, "FEATURE_DISABLED"},
		"a link that a user follows passes":             {get(map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}), 200, ""},
		"a typed address passes":                        {get(map[string]string{"Sec-Fetch-Site": "none"}), 200, ""},
		"a form POST is refused":                        {request{method: "POST", path: "/v1/experiments:purge", body: "all_deleted=true", header: form}, 415, "INVALID_REQUEST"},
		"an empty form POST is refused":                 {request{method: "POST", path: "/v1/statuses:check", header: form}, 415, "INVALID_REQUEST"},
		"a text/plain POST of JSON is refused":          {purge(map[string]string{"Content-Type": "text/plain"}), 415, "INVALID_REQUEST"},
		"a body without a type is refused":              {request{method: "POST", path: "/v1/experiments:purge", body: "{}"}, 415, "INVALID_REQUEST"},
		"JSON in another charset is refused":            {purge(map[string]string{"Content-Type": "application/json; charset=utf-16"}), 415, "INVALID_REQUEST"},
		"JSON in UTF-8 passes":                          {purge(map[string]string{"Content-Type": "application/json; charset=UTF-8"}), 200, ""},
		"a compressed body is refused":                  {purge(map[string]string{"Content-Encoding": "gzip"}), 415, "INVALID_REQUEST"},
		"a POST without a body needs no type":           {request{method: "POST", path: "/v1/statuses:check"}, 200, ""},
		"a method in a header does not count":           {request{method: "POST", path: "/v1/artifacts/a", header: map[string]string{"X-HTTP-Method-Override": "DELETE"}}, 405, "METHOD_NOT_SERVED"},
		"OPTIONS of a program is no method of the API":  {request{method: "OPTIONS", path: "/v1/experiments"}, 405, "METHOD_NOT_SERVED"},
		"a preflight of an unknown origin is refused":   {request{method: "OPTIONS", path: "/v1/experiments", host: own, header: map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}}, 403, "FEATURE_DISABLED"},
		"the metrics page is not for web pages":         {request{path: "/metrics", host: own, header: map[string]string{"Origin": "https://evil.example"}}, 403, "FEATURE_DISABLED"},
		"the documented client's paths are not, either": {request{path: "/api/x", host: own, header: map[string]string{"Origin": "https://evil.example"}}, 403, "FEATURE_DISABLED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{unary: answerAny}
			srv := serve(t, b, func(c *Config) {
				c.AllowedHosts = []string{"runs.example", "Lab.example:8443"}
				c.CORSOrigins = []string{"https://UI.example"}
			})
			got := do(t, srv, tt.in)
			if got.status != tt.status {
				t.Fatalf("status %d, want %d: %s", got.status, tt.status, got.body)
			}
			want := 0
			if tt.status == http.StatusOK {
				want = 1
			} else if e := errorOf(t, got); e.Reason != tt.reason {
				t.Errorf("reason %s, want %s", e.Reason, tt.reason)
			}
			if n := len(b.seen()); n != want {
				t.Errorf("%d calls reached the gRPC server, want %d", n, want)
			}
			if got.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.header.Get("Vary"), "Origin") {
				t.Errorf("headers lack nosniff or Vary: %v", got.header)
			}
			if got.header.Get("Access-Control-Allow-Origin") == "*" {
				t.Error("every origin is allowed")
			}
		})
	}
}

// answerAny answers a few methods by empty messages.
func answerAny(_ context.Context, req any) (proto.Message, error) {
	switch req.(type) {
	case *runicornapiv1.PurgeExperimentsRequest:
		return &runicornapiv1.PurgeExperimentsResponse{}, nil
	case *runicornapiv1.CheckStatusesRequest:
		return &runicornapiv1.CheckStatusesResponse{}, nil
	}
	return &runicornapiv1.ListExperimentsResponse{}, nil
}

func TestGuard_LetsAllowedOriginsRead(t *testing.T) {
	t.Parallel()
	b := &backend{unary: answerAny}
	srv := serve(t, b, func(c *Config) { c.CORSOrigins = []string{"https://ui.example:8443"} })
	origin := "https://ui.example:8443"

	pre := do(t, srv, request{method: "OPTIONS", path: "/v1/experiments:purge", header: map[string]string{
		"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true",
	}})
	got := map[string]string{}
	for _, k := range []string{"Allow-Origin", "Allow-Methods", "Allow-Headers", "Allow-Private-Network", "Allow-Credentials"} {
		got[k] = pre.header.Get("Access-Control-" + k)
	}
	want := map[string]string{
		"Allow-Origin": origin, "Allow-Methods": corsMethods, "Allow-Headers": corsHeaders,
		"Allow-Private-Network": "true", "Allow-Credentials": "",
	}
	if diff := cmp.Diff(want, got); diff != "" || pre.status != http.StatusNoContent {
		t.Errorf("preflight %d (-want +got):\n%s", pre.status, diff)
	}
	if n := len(b.seen()); n != 0 {
		t.Errorf("a preflight made %d calls", n)
	}
	for _, path := range []string{"/v1/experiments", "/v1/none", "/openapi.json"} {
		a := do(t, srv, request{path: path, header: map[string]string{"Origin": origin}})
		if got := a.header.Get("Access-Control-Allow-Origin"); got != origin {
			t.Errorf("%s: %d lets %q read, want %q", path, a.status, got, origin)
		}
	}
}

func TestNew_NamesBadEntries(t *testing.T) {
	t.Parallel()
	b := &backend{}
	conn := b.dial(t)
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a host that is a URL":  {func(c *Config) { c.AllowedHosts = []string{"http://x"} }, `allowed host "http://x"`},
		"every host":            {func(c *Config) { c.AllowedHosts = []string{"ok", "*"} }, `allowed host "*"`},
		"an empty host":         {func(c *Config) { c.AllowedHosts = []string{""} }, `allowed host ""`},
		"every origin":          {func(c *Config) { c.CORSOrigins = []string{"*"} }, `CORS origin "*"`},
		"origins of a wildcard": {func(c *Config) { c.CORSOrigins = []string{"https://*.x"} }, `CORS origin "https://*.x"`},
		"origin null":           {func(c *Config) { c.CORSOrigins = []string{"null"} }, `CORS origin "null"`},
		"an origin with a path": {func(c *Config) { c.CORSOrigins = []string{"https://x/y"} }, `CORS origin "https://x/y"`},
		"no connection":         {func(c *Config) { c.Conn = nil }, "Conn and Health are required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Conn: conn, Health: b.health, OpenAPI: []byte("{}")}
			tt.change(&cfg)
			if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New says %v, want %q in it", err, tt.want)
			}
		})
	}
}

func FuzzParseAuthority(f *testing.F) {
	for _, s := range []string{"localhost:1", "[::1]:2", "127.0.0.1", "[::ffff:127.0.0.1]", "a@127.0.0.1", "127.0.0.1:x", "[::1%lo]:1", "127.0.0.1\x00.evil", ":1", "1.", "..", "[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := parseAuthority(text)
		if !ok {
			return
		}
		again, ok := parseAuthority(a.String())
		if !ok || again != a {
			t.Fatalf("%q is %+v, which reads back as %+v %v", text, a, again, ok)
		}
		if netaddr.IsLoopback(a.host) && a.host != "localhost" && !strings.HasPrefix(a.host, "127.") && a.host != "::1" && !strings.HasPrefix(a.host, "::ffff:") {
			t.Fatalf("%q passes for loopback", text)
		}
	})
}
