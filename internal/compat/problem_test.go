package compat

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// class is the exception that the client makes of a status.
func class(status int) string {
	switch {
	case status == 404:
		return "NotFoundError"
	case status == 400:
		return "BadRequestError"
	case status >= 500:
		return "ServerError"
	}
	return "ConnectionError"
}

func TestErrorsBecomeTheDocumentedExceptions(t *testing.T) {
	t.Parallel()
	for reason, tt := range map[string]struct {
		code   codes.Code
		class  string
		status int
	}{
		"VIEWER_UNREACHABLE":      {codes.Unavailable, "ConnectionError", 424},
		"VIEWER_TIMEOUT":          {codes.DeadlineExceeded, "ConnectionError", 424},
		"OUTCOME_UNKNOWN":         {codes.Unknown, "ConnectionError", 424},
		"SSH_UNREACHABLE":         {codes.Unavailable, "ConnectionError", 424},
		"SERVER_DRAINING":         {codes.Unavailable, "ConnectionError", 424},
		"SSH_AUTH_FAILED":         {codes.Unauthenticated, "ConnectionError", 401},
		"TOKEN_INVALID":           {codes.Unauthenticated, "ConnectionError", 401},
		"FEATURE_DISABLED":        {codes.PermissionDenied, "ConnectionError", 403},
		"VIEWER_RATE_LIMITED":     {codes.ResourceExhausted, "ConnectionError", 429},
		"ETAG_MISMATCH":           {codes.Aborted, "ConnectionError", 409},
		"RUN_NOT_FOUND":           {codes.NotFound, "NotFoundError", 404},
		"VIEWER_REFUSED_REQUEST":  {codes.InvalidArgument, "BadRequestError", 400},
		"HOST_KEY_UNKNOWN":        {codes.FailedPrecondition, "BadRequestError", 400},
		"VIEWER_ERROR":            {codes.Internal, "ServerError", 520},
		"STREAM_CUT":              {codes.DataLoss, "ServerError", 520},
		"VIEWER_LACKS_CAPABILITY": {codes.Unimplemented, "ServerError", 501},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := &backend{unary: func(proto.Message) (proto.Message, error) {
				return nil, failing(tt.code, reason, "a sentence", &runicornapiv1.HostKey{Host: "gpu"})
			}}
			got := mustSend(t, "GET", b.serve(t)+"/api/gpu", "")
			if got.StatusCode != tt.status || class(got.StatusCode) != tt.class {
				t.Errorf("status %d is a %s, want %d, a %s", got.StatusCode, class(got.StatusCode), tt.status, tt.class)
			}
			sameJSON(t, got.body, `{"detail": "a sentence", "reason": "`+reason+`",
				"details": [{"@type": "type.googleapis.com/runicornapi.v1.HostKey", "host": "gpu"}]}`)
		})
	}
}

func TestTheClientRepeatsNoError(t *testing.T) {
	t.Parallel()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		p := problemOfStatus(status.New(code, ""))
		// 413, 429 and 503 would be with Retry-After, which is never sent.
		if slices.Contains([]int{500, 502, 503, 504}, p.status) || p.status < 400 {
			t.Errorf("%s becomes %d", code, p.status)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	url := (&backend{}).serve(t)
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"an unknown path":                 {"GET", "/api/nothing", "", 404, "/api/nothing"},
		"a run without an id":             {"GET", "/api/runs/", "", 404, "/api/runs/"},
		"a method that a path has not":    {"DELETE", "/api/config", "", 405, "DELETE"},
		"an unknown parameter":            {"GET", "/api/experiments?projekt=x", "", 400, "projekt"},
		"a parameter twice":               {"GET", "/api/experiments?project=a&project=b", "", 400, "project"},
		"a query that is not escaped":     {"GET", "/api/experiments?project=%zz", "", 400, "query"},
		"a negative limit":                {"GET", "/api/experiments?limit=-1", "", 400, "limit"},
		"an offset beyond 31 bits":        {"GET", "/api/artifacts?offset=2147483648", "", 400, "offset"},
		"a run id that is no UTF-8":       {"GET", "/api/runs/%ff", "", 400, "UTF-8"},
		"a parameter that is no UTF-8":    {"GET", "/api/metrics/r?metrics=%ff", "", 400, "UTF-8"},
		"a limit that is no number":       {"GET", "/api/metrics/r?limit=ten", "", 400, "limit"},
		"an unknown relation":             {"GET", "/api/experiments/r/artifacts?relation=made", "", 400, "relation"},
		"an unknown format":               {"POST", "/api/export", `{"run_id": "r", "format": "xls"}`, 400, "format"},
		"an unspecified format":           {"POST", "/api/export", `{"run_id": "r", "format": "unspecified"}`, 400, "format"},
		"a body that is no JSON":          {"POST", "/api/remote/connect", `{"host": `, 400, "one JSON object"},
		"a body of two documents":         {"POST", "/api/remote/connect", `{}{}`, 400, "one JSON object"},
		"a body that is a list":           {"POST", "/api/remote/disconnect", `[1]`, 400, "object"},
		"a password that is a number":     {"POST", "/api/remote/connect", `{"password": 271828}`, 400, "password"},
		"a field that there is not":       {"POST", "/api/remote/connect", `{"sudo": "271828"}`, 400, "sudo"},
		"a configuration of other things": {"PUT", "/api/config", `{"storage": "/x"}`, 400, "storage"},
		"a configuration of nothing":      {"PUT", "/api/config", `{}`, 400, "user_root_dir"},
		"a body without an end":           {"POST", "/api/export", strings.Repeat(" ", maxBody+1), 413, "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustSend(t, tt.method, url+tt.path, tt.body)
			if got.StatusCode != tt.status || !strings.Contains(got.body, tt.says) {
				t.Errorf("status %d, want %d with %q: %s", got.StatusCode, tt.status, tt.says, got.body)
			}
			if strings.Contains(got.body, "271828") {
				t.Errorf("the answer tells a secret: %s", got.body)
			}
		})
	}
}

func TestGenerationsWithoutArtifactsReturnAnEmptyList(t *testing.T) {
	t.Parallel()
	b := &backend{unary: func(proto.Message) (proto.Message, error) {
		return nil, failing(codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", "lacks")
	}}
	url := b.serve(t)
	sameJSON(t, mustSend(t, "GET", url+"/api/artifacts", "").body, `{"artifacts": []}`)
	for _, path := range []string{"/api/artifacts/m:v1", "/api/artifacts/m/versions", "/api/artifacts/m/lineage"} {
		if got := mustSend(t, "GET", url+path, ""); got.StatusCode != 404 {
			t.Errorf("%s: status %d", path, got.StatusCode)
		}
	}
}

func TestAnInternalErrorHasNoDetails(t *testing.T) {
	t.Parallel()
	// A request without a connection to call over panics in the handler.
	got := mustSend(t, "POST", serveHandler(t, New(Config{}))+"/api/remote/connect", `{"host": "gpu", "password": "271828"}`)
	if got.StatusCode != statusServerError || !strings.Contains(got.body, "incident") || strings.Contains(got.body, "271828") {
		t.Errorf("status %d: %s", got.StatusCode, got.body)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"host": 271828}`, `{"secret-271828": 1}`, `null`, `{"port": 99999999999}`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var into struct {
			Host string `json:"host"`
			Port *int32 `json:"port"`
		}
		err := decode(body, &into)
		if p, ok := errors.AsType[*problem](err); err != nil && (!ok || class(p.status) != "BadRequestError") {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
