package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
)

// outcomes is the table case × lab × outcome, and all that clients received.
// Safe for concurrent use.
type outcomes struct {
	mu       sync.Mutex
	cases    []string
	cells    map[[2]string]string // by case and lab
	received strings.Builder
}

// outcomeOf is "OK", or code and reason.
func outcomeOf(err error) string {
	if err == nil {
		return "OK"
	}
	return status.Code(err).String() + " " + reasonOf(err)
}

// add enters the outcome of a call.
func (o *outcomes) add(name string, l *remoteLab, outcome string, took time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Contains(o.cases, name) {
		o.cases = append(o.cases, name)
	}
	o.cells[[2]string{name, l.name}] = fmt.Sprintf("%s (%.1f s)", outcome, took.Seconds())
	fmt.Fprintf(&o.received, "%v\n%s\n", err, prototext.Format(status.Convert(err).Proto()))
	for _, d := range status.Convert(err).Details() {
		fmt.Fprintf(&o.received, "%v\n", d)
	}
}

// keep records what a client received.
func (o *outcomes) keep(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.received.WriteString(text + "\n")
}

// print logs the table.
func (o *outcomes) print(t *testing.T, labs []*remoteLab) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	b.WriteString("| case |")
	for _, l := range labs {
		fmt.Fprintf(&b, " %s, %s |", l.version, either(l.ssh, "ssh on PATH", "no ssh"))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(labs)))
	for _, name := range o.cases {
		fmt.Fprintf(&b, "\n| %s |", name)
		for _, l := range labs {
			fmt.Fprintf(&b, " %s |", o.cells[[2]string{name, l.name}])
		}
	}
	t.Logf("the outcomes of the calls:\n%s", b.String())
}

// What no server may ever repeat, besides the servers' own secrets.
const (
	wrongPassword   = "canary-wrong-password"
	wrongPassphrase = "canary-wrong-passphrase"
	notAKey         = "canary-not-a-key\ncanary-second-line"
	noSuchKey       = "/nonexistent/canary-key-file"
)

// wantNoSecrets searches for the secrets of all calls in the logs of the servers, in what
// clients received, in the metrics, and in the HTTP responses to invalid bodies.
func wantNoSecrets(t *testing.T, labs []*remoteLab, out *outcomes, servers ...*server) {
	t.Helper()
	texts := map[string]string{"the answers": out.received.String()}
	for i, g := range servers {
		log, err := os.ReadFile(g.log)
		if err != nil {
			t.Fatal(err)
		}
		texts[fmt.Sprintf("log %d", i)] = string(log)
		texts[fmt.Sprintf("metrics %d", i)] = sendJSON(t, http.MethodGet, "http://"+g.httpAddr+"/metrics", "")
	}
	for i, body := range []string{
		`{"viewer":"%s","target":{"host":"127.0.0.1","port":1,"username":"u","password":"canary-http","private_key":"canary-http-key","use_agent":false}}`,
		`{"viewer":"%s","target":{"host":"127.0.0.1","port":0,"username":"u","password":"canary-http"}}`,
		`{"viewer":"%s","target":{"host":"127.0.0.1","username":"u","password":["canary-http"]}}`,
		`{"viewer":"%s","target":{"host":"127.0.0.1","username":"u","passphrase":{"canary-http":1}}}`,
		`{"viewer":"%s","target":{"password":"canary-http"}}`,
		`{"viewer":"%s","target":{"host":"h","username":"u","password":"canary-http`,
	} {
		at := "http://" + servers[0].httpAddr + "/v1/remote/connections"
		texts[fmt.Sprintf("HTTP answer %d", i)] = sendJSON(t, http.MethodPost, at, fmt.Sprintf(body, labs[0].name))
	}
	secrets := []string{"canary"}
	for _, l := range labs {
		secrets = append(secrets, strings.Split(l.keyText, "\n")[2], l.sshd.Key, l.sshd.LockedKey)
	}
	for where, text := range texts {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has the secret %q: …%s…", where, secret, text[max(0, at-200):min(len(text), at+200)])
			}
		}
	}
}
