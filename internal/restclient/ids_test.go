package restclient

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestClient_RefusedIDsAreNotSent(t *testing.T) {
	v := newViewer(t, "0.6.0")
	c := v.client(t)
	for _, tt := range []struct{ name, id string }{
		{"empty", ""},
		{"a step up", ".."},
		{"a step on the spot", "."},
		{"a parent directory after an escaped slash", "a%2f.."},
		{"a step up before an escaped backslash", "..%5ca"},
		{"a slash", "a/b"},
		{"a backslash", `a\b`},
		{"a step up in doubly escaped slashes", "a%252f..%252fb"},
		{"a doubly escaped parent directory after an escaped slash", "a%2f%252e%252e"},
		{"an escaped step up", "%2e%2e"},
		{"a half escaped step up", ".%2e"},
		{"NUL", "a\x00b"},
		{"an escaped NUL", "a%00b"},
		{"CR LF", "a\r\nX-Evil: 1"},
		{"an escaped line end", "a%0d%0ab"},
		{"escape", "a\x1b[0m"},
		{"delete", "a\x7f"},
		{"a C1 control", "a\u0085b"},
		{"a line separator", "a\u2028b"},
		{"a right-to-left override", "a\u202eb"},
		{"invalid UTF-8", "a\xffb"},
		{"9,000 characters", strings.Repeat("a", 9000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.GetRun(t.Context(), tt.id)
			e, ok := errors.AsType[*IDError](err)
			if !ok || e.Field != "run_id" || e.Reason == "" {
				t.Fatalf("got %v", err)
			}
			_, err = c.SoftDelete(t.Context(), []string{"20261123_151105_e4a55c", tt.id})
			if e, ok := errors.AsType[*IDError](err); !ok || e.Field != "run_ids" {
				t.Fatalf("in a batch: got %v", err)
			}
		})
	}
	if len(v.seen) > 0 {
		t.Errorf("sent %v", v.seen)
	}
}

func TestClient_EscapesIDs(t *testing.T) {
	v := newViewer(t, "0.6.0")
	for _, id := range []string{"20261123_151105_e4a55c", "my run", "100%", "a?b#c;d&e=f", "größe", "a..b", "lr%3D1%2F3", "a%5cb", "...a", "実験 1", "🙂", "a.b", "a+b", "~x"} {
		v.on("GET /api/runs/"+url.PathEscape(id), jsonAnswer(`{"id":"found"}`))
		if run, err := v.client(t).GetRun(t.Context(), id); err != nil || run.ID != "found" {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// FuzzID checks that no id changes the path of a request.
func FuzzID(f *testing.F) {
	for _, seed := range []string{"20261123_151105_e4a55c", "..", "a%2fb", "%2e%2e%2f", "a?b=c", "a#b", ";a", "\x00", "\r\n", "é", "%"} {
		f.Add(seed)
	}
	c, err := New(Config{BaseURL: "http://viewer.test:1/pre"})
	if err != nil {
		f.Fatal(err)
	}
	r := routes[capVersionFiles]
	f.Fuzz(func(t *testing.T, id string) {
		target, err := c.url(r, call{ids: []string{id, "1"}, query: url.Values{"path": {id}}})
		if err != nil {
			if _, ok := errors.AsType[*IDError](err); !ok {
				t.Fatalf("an untyped refusal: %v", err)
			}
			return
		}
		u, err := url.Parse(target)
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		if u.Scheme != "http" || u.Host != "viewer.test:1" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q goes elsewhere", target)
		}
		want := []string{"", "pre", "api", "artifacts", id, "v1", "files"}
		for _, path := range []string{u.EscapedPath(), u.Path} { // escaped, and as the Viewer decodes it
			if got := strings.Split(path, "/"); len(got) != len(want) {
				t.Fatalf("%q has %d elements", path, len(got))
			}
		}
		if got := strings.Split(u.Path, "/"); got[4] != id {
			t.Fatalf("id %q arrives as %q", id, got[4])
		}
		if len(u.Query()) != 1 || u.Query().Get("path") != id {
			t.Fatalf("query %q", u.RawQuery)
		}
	})
}
