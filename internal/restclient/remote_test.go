package restclient

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const connectionID = "rn@127.0.0.1:25022"

var someLogin = Login{Endpoint: Endpoint{Host: "127.0.0.1", Port: 25022, Username: "rn"}, Password: "pw", UseAgent: true}

const (
	connectedBody = `{"ok":true,"connection_id":"rn@127.0.0.1:25022","host":"127.0.0.1","port":25022,"username":"rn","connected":true}`
	sessionBody   = `{"sessionId":"ed1393b8","host":"127.0.0.1","sshPort":25022,"username":"rn","localPort":8081,
 "remotePort":8080,"remoteRoot":"/home/rn/data","remotePid":28820,"status":"running","startedAt":1795447232518,
 "uptimeSeconds":1.0,"isActive":true,"url":"http://localhost:8081"}`
)

func TestRemote_Connections(t *testing.T) {
	want := Connection{ID: known(connectionID), Host: known("127.0.0.1"), Port: Int{Value: 25022, Known: true}, Username: known("rn"), Connected: true}
	for _, release := range versions {
		t.Run(release.version, func(t *testing.T) {
			v := newViewer(t, release.version)
			v.on("POST /api/remote/connect", jsonAnswer(connectedBody))
			v.on("GET /api/remote/sessions", jsonAnswer(`{"sessions":[{"key":"rn@127.0.0.1:25022","host":"127.0.0.1","port":25022,"username":"rn","connected":true}]}`))
			v.on("POST /api/remote/disconnect", jsonAnswer(`{"ok":true,"message":"Connection removed"}`))
			v.on("GET /api/remote/status", jsonAnswer(string(fixture(t, release.version, "remote_status"))))
			c := v.client(t)
			got, err := c.Connect(t.Context(), someLogin)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Error(diff)
			}
			all, err := c.Connections(t.Context())
			if err != nil || !cmp.Equal(all, []Connection{want}) {
				t.Errorf("connections: %+v, %v", all, err)
			}
			if status, err := c.RemoteStatus(t.Context()); err != nil || len(status.Sessions) != 0 {
				t.Errorf("status: %+v, %v", status, err)
			}
			if err := c.Disconnect(t.Context(), someLogin.Endpoint); err != nil {
				t.Error(err)
			}
			sent := v.requests()
			if sent[0].Body != `{"host":"127.0.0.1","port":25022,"username":"rn","password":"pw","use_agent":true}` {
				t.Errorf("connect sent %s", sent[0].Body)
			}
			if sent[3].Body != `{"host":"127.0.0.1","port":25022,"username":"rn"}` {
				t.Errorf("disconnect sent %s", sent[3].Body)
			}
		})
	}
}

func TestRemote_Sessions(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("POST /api/remote/viewer/start", jsonAnswer(`{"ok":true,"session":`+sessionBody+`,"message":"ready"}`))
	v.on("GET /api/remote/viewer/sessions", jsonAnswer(`{"sessions":[`+sessionBody+`]}`))
	v.on("GET /api/remote/viewer/status/ed1393b8", jsonAnswer(sessionBody))
	v.on("POST /api/remote/viewer/stop", jsonAnswer(`{"ok":true,"message":"Session ed1393b8 stopped"}`))
	c := v.client(t)
	started, err := c.StartViewer(t.Context(), StartRequest{Login: someLogin, RemoteRoot: "~/data", LocalPort: 8081, CondaEnv: "base"})
	if err != nil {
		t.Fatal(err)
	}
	if started.ID != "ed1393b8" || started.LocalPort.Value != 8081 || !started.Active || !started.StartedTime.Equal(time.UnixMilli(1795447232518)) {
		t.Errorf("started: %+v", started)
	}
	all, err := c.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.Session(t.Context(), "ed1393b8")
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(all, []Session{*started}) || !cmp.Equal(one, started) {
		t.Errorf("sessions: %+v, session: %+v", all, one)
	}
	if err := c.StopViewer(t.Context(), "ed1393b8"); err != nil {
		t.Error(err)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(v.requests()[0].Body), &body); err != nil {
		t.Fatal(err)
	}
	want := []string{"conda_env", "host", "local_port", "password", "port", "remote_root", "use_agent", "username"}
	if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, want) {
		t.Errorf("start sent %q", got)
	}
}

func TestRemote_Host(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/remote/fs/list", jsonAnswer(`{"path":"/home/rn","items":[{"name":"data","is_dir":true,"size":0,"mtime":1795446986},
 {"name":"file.txt","is_dir":false,"size":3,"mtime":1795446986}]}`))
	v.on("GET /api/remote/fs/exists", jsonAnswer(`{"path":"/tmp","exists":true,"is_dir":true}`))
	v.on("GET /api/remote/conda-envs", jsonAnswer(`{"ok":true,"envs":[{"name":"system","type":"system","python_version":"Python 3.11.2","path":"/usr/bin/python3","is_default":true}]}`))
	v.on("GET /api/remote/config", jsonAnswer(`{"ok":true,"condaEnv":"system","pythonVersion":"Python 3.11.2","runicornVersion":null,
 "defaultStorageRoot":"/home/rn/runicorn_data","storageRootExists":true,"suggestedRemotePort":53065,"connectionId":"rn@127.0.0.1:25022"}`))
	c := v.client(t)
	dir, err := c.ListDirectory(t.Context(), connectionID, "~")
	if err != nil {
		t.Fatal(err)
	}
	if len(dir.Entries) != 2 || !dir.Entries[0].IsDir || dir.Entries[1].Size.Value != 3 || dir.Entries[1].ModifiedTime.Unix() != 1795446986 {
		t.Errorf("directory: %+v", dir)
	}
	if path, err := c.CheckPath(t.Context(), connectionID, "/tmp"); err != nil || !path.Exists || !path.IsDir {
		t.Errorf("path: %+v, %v", path, err)
	}
	if envs, err := c.PythonEnvironments(t.Context(), connectionID); err != nil || len(envs) != 1 || !envs[0].IsDefault {
		t.Errorf("environments: %+v, %v", envs, err)
	}
	config, err := c.RemoteConfig(t.Context(), connectionID, "base")
	if err != nil {
		t.Fatal(err)
	}
	if config.RunicornVersion.Known || config.SuggestedRemotePort.Value != 53065 || !config.StorageRootExists {
		t.Errorf("config: %+v", config)
	}
	if got := v.requests()[3].Query; got != "conda_env=base&connection_id=rn%40127.0.0.1%3A25022" {
		t.Errorf("query %q", got)
	}
}

// loginWith returns the login with a change.
func loginWith(change func(*Login)) Login {
	l := someLogin
	change(&l)
	return l
}

func TestRemote_InvalidInputIsNotSent(t *testing.T) {
	v := newViewer(t, "0.6.0")
	c := v.client(t)
	connect := func(change func(*Login)) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.Connect(ctx, loginWith(change)); return err }
	}
	start := func(change func(*StartRequest)) func(context.Context) error {
		s := StartRequest{Login: someLogin, RemoteRoot: "/r"}
		change(&s)
		return func(ctx context.Context) error { _, err := c.StartViewer(ctx, s); return err }
	}
	list := func(id, path string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.ListDirectory(ctx, id, path); return err }
	}
	for _, tt := range []struct {
		name, field string
		call        func(context.Context) error
	}{
		{"no host", "host", connect(func(l *Login) { l.Host = "" })},
		{"a host that is an option", "host", connect(func(l *Login) { l.Host = "-oProxyCommand=x" })},
		{"a host with a user", "host", connect(func(l *Login) { l.Host = "a@b" })},
		{"a host with a line end", "host", connect(func(l *Login) { l.Host = "a\nb" })},
		{"a user that is an option", "username", connect(func(l *Login) { l.Username = "-oProxyCommand=x" })},
		{"a user with a space", "username", connect(func(l *Login) { l.Username = "a b" })},
		{"a user with a command", "username", connect(func(l *Login) { l.Username = "a;b" })},
		{"port 0", "port", connect(func(l *Login) { l.Port = 0 })},
		{"port 99999", "port", connect(func(l *Login) { l.Port = 99999 })},
		{"a password that is no text", "password", connect(func(l *Login) { l.Password = "\xff" })},
		{"a key that is too long", "private_key", connect(func(l *Login) { l.PrivateKey = Secret(strings.Repeat("x", maxSecret+1)) })},
		{"a key path with NUL", "private_key_path", connect(func(l *Login) { l.PrivateKeyPath = "a\x00" })},
		{"no root", "remote_root", start(func(s *StartRequest) { s.RemoteRoot = "" })},
		{"a root that leaves its quotes", "remote_root", start(func(s *StartRequest) { s.RemoteRoot = "/r'; touch x; '" })},
		{"an environment that leaves its quotes", "conda_env", start(func(s *StartRequest) { s.CondaEnv = "a'b" })},
		{"a local port out of range", "local_port", start(func(s *StartRequest) { s.LocalPort = 70000 })},
		{"a negative remote port", "remote_port", start(func(s *StartRequest) { s.RemotePort = -1 })},
		{"a path that leaves its quotes", "path", list(connectionID, "/a'b")},
		{"a path with double quotes", "path", list(connectionID, `/a"b`)},
		{"a path with a line end", "path", list(connectionID, "/a\nb")},
		{"no path", "path", list(connectionID, "")},
		{"a connection without a user", "connection_id", list("host:22", "/")},
		{"a connection without a port", "connection_id", list("a@b", "/")},
		{"a connection with a large port", "connection_id", list("a@b:70000", "/")},
		{"a path for CheckPath", "path", func(ctx context.Context) error { _, err := c.CheckPath(ctx, connectionID, "'"); return err }},
		{"an environment for RemoteConfig", "conda_env", func(ctx context.Context) error { _, err := c.RemoteConfig(ctx, connectionID, "'"); return err }},
		{"a session that is a path", "session_id", func(ctx context.Context) error { return c.StopViewer(ctx, "../x") }},
		{"an endpoint to leave", "port", func(ctx context.Context) error { return c.Disconnect(ctx, Endpoint{Host: "h", Username: "u"}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if e, ok := errors.AsType[*IDError](tt.call(t.Context())); !ok || e.Field != tt.field {
				t.Errorf("got %v, want a complaint about %s", e, tt.field)
			}
		})
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("sent upstream: %+v", got)
	}
}

func FuzzParseConnectionID(f *testing.F) {
	for _, id := range []string{connectionID, "", "a@b", "a@b@c:1", "u@::1:22", "@:", "a@b:-1", "a@b:022"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		e, err := ParseConnectionID(id)
		if err != nil {
			return
		}
		again, err := ParseConnectionID(e.ID())
		if err != nil || again != e {
			t.Errorf("%q is %+v, which is %q, which is %+v, %v", id, e, e.ID(), again, err)
		}
	})
}
