package restclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const mark = "canary"

// canaries is a login in which every secret contains the mark, and characters that are hard
// to quote.
var canaries = Login{
	Endpoint:       Endpoint{Host: "127.0.0.1", Port: 22, Username: "rn"},
	Password:       "canary-pass \"'\\<&>é\t1",
	PrivateKey:     "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-line-one-AAAA\ncanary-line-two-BBBB\n-----END OPENSSH PRIVATE KEY-----\n",
	PrivateKeyPath: "/keys/canary path/id",
	Passphrase:     " canary phrase ",
}

// spill prints a value in every possible way.
func spill(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		fmt.Fprintf(&out, verb+"\n", v)
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).InfoContext(t.Context(), "m", slog.Any("v", v), slog.Group("g", slog.Any("v", v)))
	}
	text, err := json.Marshal(v)
	if err == nil {
		out.Write(text)
	}
	return out.String()
}

func wantNoCanary(t *testing.T, v any) {
	t.Helper()
	text := spill(t, v)
	if i := strings.Index(text, mark); i >= 0 {
		t.Errorf("a secret is shown: …%s…", text[max(0, i-80):min(len(text), i+40)])
	}
	if hex := fmt.Sprintf("%x", mark); strings.Contains(text, hex) {
		t.Error("a secret is shown in hexadecimal")
	}
}

func TestLogin_HidesSecrets(t *testing.T) {
	start := StartRequest{Login: canaries, RemoteRoot: "/r"}
	save := SaveRequest{Login: canaries, Name: "n"}
	for _, v := range []any{
		canaries,
		&canaries, start, &start, save,
		[]Login{canaries},
		map[string]Login{"a": canaries},
		canaries.Password,
		struct{ S Secret }{canaries.Password},
		[]Secret{canaries.Password},
	} {
		wantNoCanary(t, v)
	}
	if got := fmt.Sprintf("%v|%v|%#v", canaries.Password, Secret(""), canaries.Password); got != "<hidden>||<hidden>" {
		t.Errorf("a secret is shown as %s", got)
	}
	if got := canaries.Password.GoString(); got != `"<hidden>"` {
		t.Errorf("a secret is %s in Go", got)
	}
}

// secretCalls are the calls that send secrets.
var secretCalls = []struct {
	name, route string
	call        func(context.Context, *Client) error
}{
	{"connect", "POST /api/remote/connect", func(ctx context.Context, c *Client) error {
		_, err := c.Connect(ctx, canaries)
		return err
	}},
	{"start", "POST /api/remote/viewer/start", func(ctx context.Context, c *Client) error {
		_, err := c.StartViewer(ctx, StartRequest{Login: canaries, RemoteRoot: "/r"})
		return err
	}},
	{"save", "POST /api/config/ssh_connections", func(ctx context.Context, c *Client) error {
		return c.SaveConnection(ctx, SaveRequest{Login: canaries, Remember: true})
	}},
}

// echoes are ways in which a Viewer may echo a request.
var echoes = map[string]func(body string) (contentType, answer string){
	"as its text":         func(body string) (string, string) { return "text/plain", body },
	"as a page":           func(body string) (string, string) { return "text/html", body },
	"as its JSON":         func(body string) (string, string) { return "application/json", body },
	"in a JSON list":      func(body string) (string, string) { return "application/json", "[" + body + "]" },
	"as cut JSON":         func(body string) (string, string) { return "application/json", body[:len(body)/2] },
	"in its content type": func(body string) (string, string) { return "x/" + strings.ReplaceAll(body, "\n", ""), "" },
	"as detail": func(body string) (string, string) {
		return "application/json", detail(map[string]any{"detail": "failed with " + body})
	},
	"as a repr": func(string) (string, string) {
		return "application/json", detail(map[string]any{"detail": fmt.Sprintf("payload=SSHConfig(password=%q, passphrase='%s', key=%q, path=%s)",
			string(canaries.Password), string(canaries.Passphrase), string(canaries.PrivateKey), string(canaries.PrivateKeyPath))})
	},
	"as a line of the key": func(string) (string, string) {
		return "application/json", detail(map[string]any{"detail": "bad line canary-line-two-BBBB in the key"})
	},
	"as a message": func(body string) (string, string) {
		return "application/json", detail(map[string]any{"detail": map[string]any{"message": body, "errors": []string{body}}})
	},
	"as a 422": func(body string) (string, string) {
		return "application/json", detail(map[string]any{"detail": []any{map[string]any{
			"type": "missing", "loc": []any{"body", "host"}, "msg": "Field required, got " + body, "input": json.RawMessage(body), "ctx": map[string]any{"error": body},
		}}})
	},
	"as a refusal": func(body string) (string, string) {
		return "application/json", detail(map[string]any{"ok": false, "message": body})
	},
	"of another shape": func(body string) (string, string) {
		return "application/json", detail(map[string]any{"ok": body, "session": body})
	},
}

func detail(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestSecrets_AreHiddenInErrors(t *testing.T) {
	for _, sc := range secretCalls {
		for how, echo := range echoes {
			t.Run(sc.name+" "+how, func(t *testing.T) {
				v := newViewer(t, "0.6.0")
				c := v.client(t)
				for _, status := range []int{200, 201, 302, 400, 401, 403, 404, 405, 408, 409, 413, 418, 422, 429, 500, 501, 502, 503, 504, 599} {
					v.on(sc.route, func(w http.ResponseWriter, _ *http.Request) {
						seen := v.requests()
						contentType, text := echo(seen[len(seen)-1].Body)
						w.Header().Set("Content-Type", contentType)
						w.Header().Set("Location", "http://"+mark+"/")
						w.Header().Set("Retry-After", mark)
						w.WriteHeader(status)
						_, _ = io.WriteString(w, text) // the client may have disconnected
					})
					err := sc.call(t.Context(), c)
					if err == nil {
						t.Fatalf("status %d is a success", status)
					}
					for e := err; e != nil; e = errors.Unwrap(e) {
						wantNoCanary(t, e)
					}
				}
			})
		}
	}
}

// The server is not HTTP: it echoes the request, and net/http quotes the first line.
func TestSecrets_AreHiddenInTransportErrors(t *testing.T) {
	for _, sc := range secretCalls {
		for _, first := range []string{"", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\nContent-Length: ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: "} {
			t.Run(fmt.Sprintf("%s %q", sc.name, first), func(t *testing.T) {
				v := newViewer(t, "0.6.0")
				v.on(sc.route, func(w http.ResponseWriter, _ *http.Request) {
					seen := v.requests()
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = conn.Close() }()
					_, _ = io.WriteString(conn, first+seen[len(seen)-1].Body+"\r\n\r\n") // the client may have disconnected
				})
				err := sc.call(t.Context(), v.client(t))
				if err == nil {
					t.Fatal("it is a success")
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					wantNoCanary(t, e)
				}
			})
		}
	}
}

func TestSecrets_SafeCausesAreKept(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	base := server.URL
	server.Close()
	c, err := New(Config{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	c.undescribed.Store(1 << 62) // its routes cannot be probed
	_, err = c.Connect(t.Context(), canaries)
	if e := typed(t, err, KindUnreachable); !errors.As(e, new(*net.OpError)) {
		t.Errorf("the cause is %v", e.Err)
	}
	wantNoCanary(t, err)
}

func TestSecrets_AreSentOnlyToBeStored(t *testing.T) {
	v := newViewer(t, "0.5.3")
	v.on("POST /api/config/ssh_connections", jsonAnswer(`{"ok":true,"message":"SSH connection saved"}`))
	c := v.client(t)
	for _, remember := range []bool{false, true} {
		if err := c.SaveConnection(t.Context(), SaveRequest{Login: canaries, Name: "gpu", Remember: remember}); err != nil {
			t.Fatal(err)
		}
	}
	sent := v.requests()
	if strings.Contains(sent[0].Body, "canary-pass") || strings.Contains(sent[0].Body, "canary phrase") || strings.Contains(sent[0].Body, "canary-line") {
		t.Errorf("sent without need: %s", sent[0].Body)
	}
	var got struct {
		Password, Passphrase string
		PrivateKey           string `json:"private_key"`
	}
	if err := json.Unmarshal([]byte(sent[1].Body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Password != string(canaries.Password) || got.Passphrase != string(canaries.Passphrase) || got.PrivateKey != string(canaries.PrivateKey) {
		t.Error("the secrets did not arrive as they are")
	}
}
