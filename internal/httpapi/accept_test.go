package httpapi

import (
	"net/http"
	"net/url"
	"testing"
	"unicode/utf8"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestWantsEvents(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		accept []string
		want   bool
	}{
		"a browser's EventSource":            {[]string{"text/event-stream"}, true},
		"in capitals with a charset":         {[]string{"Text/Event-Stream; charset=utf-8"}, true},
		"the first of several":               {[]string{"text/event-stream, application/json"}, true},
		"the last of several":                {[]string{"application/json, text/event-stream"}, true},
		"in a header of its own":             {[]string{"text/html", "text/event-stream"}, true},
		"less liked than lines":              {[]string{"text/event-stream;q=0.5, application/x-ndjson"}, false},
		"less liked than anything":           {[]string{"text/event-stream;q=0.5, */*"}, true},
		"not wanted":                         {[]string{"text/event-stream;q=0"}, false},
		"a quality that is none":             {[]string{"text/event-stream;q=much"}, true},
		"curl":                               {[]string{"*/*"}, false},
		"any text":                           {[]string{"text/*"}, false},
		"nothing":                            {nil, false},
		"a broken element before a good one": {[]string{"; , text/event-stream"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wantsEvents(tt.accept); got != tt.want {
				t.Errorf("wantsEvents(%q) is %v", tt.accept, got)
			}
		})
	}
}

func FuzzWantsEvents(f *testing.F) {
	for _, s := range []string{"text/event-stream", "text/event-stream;q=0.1,*/*", `a/b;c="`, ",,;q", "text/event-stream;q=NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		if wantsEvents([]string{accept}) && !wantsEvents([]string{accept, "text/event-stream"}) {
			t.Fatalf("%q wants events, and with one more wish for them does not", accept)
		}
	})
}

func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"token", "a=b&resume_token=c", "%00", "é", "\xff", "+ ;#"} {
		f.Add(s, "start=TAIL_START_NOW&resumeToken=x&run_ids=r")
	}
	msg := (&runicornapiv1.TailMetricsRequest{}).ProtoReflect()
	rt := &route{input: msg.Type(), stream: true, token: msg.Descriptor().Fields().ByName("resume_token")}
	f.Fuzz(func(t *testing.T, id, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		rt.resumeQuery(query, id)
		again, err := url.ParseQuery(query.Encode())
		if err != nil || again.Get("resume_token") != id || len(again["resume_token"]) != 1 || again.Has("start") || again.Has("resumeToken") {
			t.Fatalf("Last-Event-ID %q over %q is %v", id, raw, again)
		}
		if bad := rt.checkQuery(url.Values{"resume_token": {id}}); (len(bad) > 0) == utf8.ValidString(id) {
			t.Fatalf("Last-Event-ID %q: %v, status %d", id, bad, http.StatusBadRequest)
		}
	})
}
