package restclient

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// failures are texts of real Viewers and their kinds.
var failures = []struct {
	name, detail string
	want         Kind
}{
	{"a wrong password before 0.7", "Connection failed: Authentication failed.", KindSSHAuth},
	{"a wrong password in 0.7", "Connection failed: rn@127.0.0.1: Permission denied (publickey,password).", KindSSHAuth},
	{"nothing offered", "Connection failed: No authentication methods available", KindSSHAuth},
	{"no password login there", "Connection failed: Bad authentication type; allowed types: ['publickey']", KindSSHAuth},
	{"an encrypted key", "Connection failed: private key file is encrypted", KindSSHKey},
	{"a wrong passphrase", "Connection failed: OpenSSH private key file checkints do not match", KindSSHKey},
	{"a text that is no key", "Connection failed: not a valid EC private key file", KindSSHKey},
	{"a missing key file", "Connection failed: [Errno 2] No such file or directory: '/k/id'", KindSSHKey},
	{"an unreadable key file", "Connection failed: [Errno 13] Permission denied: '/k/id'", KindSSHKey},
	{
		"a missing key file in 0.7",
		"Connection failed: Warning: Identity file /k/id not accessible: No such file or directory.\nrn@h: Permission denied (publickey).", KindSSHKey,
	},
	{
		"a missing key file and a refused port in 0.7",
		"Connection failed: Warning: Identity file /k/id not accessible: No such file or directory.\nssh: connect to host h port 1: Connection refused",
		KindSSHUnreachable,
	},
	{"a server that hangs up on 0.7", "Connection failed: kex_exchange_identification: Connection closed by remote host", KindSSHUnreachable},
	{"a refused port before 0.7", "Connection failed: [Errno None] Unable to connect to port 1 on 127.0.0.1", KindSSHUnreachable},
	{"a refused port in 0.7", "Connection failed: ssh: connect to host h port 1: Connection refused", KindSSHUnreachable},
	{"an unknown name before 0.7", "Connection failed: [Errno -2] Name or service not known", KindSSHUnreachable},
	{"an unknown name in 0.7", "Connection failed: ssh: Could not resolve hostname h: Name or service not known", KindSSHUnreachable},
	{"a peer that hangs up", "Connection failed: Error reading SSH protocol banner", KindSSHUnreachable},
	{"a lost server", "Failed to get remote configuration: ssh: connect to host h port 1: Connection refused", KindSSHUnreachable},
	{"a silent peer in 0.7", "Connection failed: OpenSSH command timed out after 30s: exit 0", KindSSHTimeout},
	{"a slow network", "Connection failed: ssh: connect to host h port 22: Connection timed out", KindSSHTimeout},
	{"no runicorn", "Failed to start Remote Viewer: runicorn not installed on remote server.\nPlease install: python3 -m pip install runicorn", KindRemoteRunicorn},
	{"a root that cannot be made", "Failed to start Remote Viewer: Remote viewer failed health check", KindSSHPrecondition},
	{"no Python", "Failed to start Remote Viewer: Python3 not found on remote server", KindSSHPrecondition},
	{
		"the folder of another user",
		"Failed to start Remote Viewer: mkdir: cannot create directory '/tmp/runicorn-viewer/sessions/a': Permission denied", KindSSHPrecondition,
	},
	{
		"a tunnel without its key",
		"Failed to start Remote Viewer: SSH tunnel failed: OpenSSH tunnel failed to start (returncode=255): rn@h: Permission denied (publickey).",
		KindSSHPrecondition,
	},
	{"a taken port in 0.5", "Failed to start Remote Viewer: SSH tunnel failed to start", KindPortTaken},
	{"a taken port in 0.6", "Failed to start Remote Viewer: SSH tunnel failed: [Errno 98] Address already in use", KindPortTaken},
	{
		"a taken port in 0.7",
		"Failed to start Remote Viewer: SSH tunnel failed: OpenSSH tunnel failed to start (returncode=255): bind [127.0.0.1]:1: Address already in use",
		KindPortTaken,
	},
	{"no port left", "Failed to start Remote Viewer: No available port in range 8080-8999", KindPortTaken},
	{"a wrapped 400", "Connection failed: 400: host and username are required", KindBadRequest},
	{"a wrapped 404", "Connection failed: 404: Saved server not found: zz", KindNotFound},
	{"an unknown text", "Connection failed: the moon is full", KindServer},
}

func detailBody500(t *testing.T, detail string) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]string{"detail": detail})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestRemote_ClassifiesStatus500(t *testing.T) {
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("POST /api/remote/viewer/start", answer(500, "application/json", detailBody500(t, tt.detail)))
			_, err := v.client(t).StartViewer(t.Context(), StartRequest{Login: someLogin, RemoteRoot: "/r"})
			if e := typed(t, err, tt.want); e.Status != 500 || e.Detail == "" {
				t.Errorf("%+v", e)
			}
			if got := v.requests(); len(got) != 1 {
				t.Errorf("%d login attempts", len(got))
			}
		})
	}
}

func TestRemote_ClassifiesAnswers(t *testing.T) {
	const hostKey = `{"detail":{"code":"HOST_KEY_CONFIRMATION_REQUIRED","message":"Host key verification failed","host_key":{"host":"h","port":22,
 "known_hosts_host":"h","key_type":"ssh-ed25519","fingerprint_sha256":"SHA256:Au","public_key":"ssh-ed25519 AAAA","reason":"unknown"}}}`
	connect := func(ctx context.Context, c *Client) error { _, err := c.Connect(ctx, someLogin); return err }
	start := func(ctx context.Context, c *Client) error {
		_, err := c.StartViewer(ctx, StartRequest{Login: someLogin, RemoteRoot: "/r"})
		return err
	}
	disconnect := func(ctx context.Context, c *Client) error { return c.Disconnect(ctx, someLogin.Endpoint) }
	stop := func(ctx context.Context, c *Client) error { return c.StopViewer(ctx, "s1") }
	list := func(ctx context.Context, c *Client) error {
		_, err := c.ListDirectory(ctx, connectionID, "/x")
		return err
	}
	config := func(ctx context.Context, c *Client) error {
		_, err := c.RemoteConfig(ctx, connectionID, "nope")
		return err
	}
	session := func(ctx context.Context, c *Client) error { _, err := c.Session(ctx, "s1"); return err }
	for _, tt := range []struct {
		name, route string
		status      int
		body        string
		call        func(context.Context, *Client) error
		want        Kind
		resource    string
		id          string
	}{
		{"an unknown host key", "POST /api/remote/connect", 409, hostKey, connect, KindHostKey, "", ""},
		{"an unknown host key for a start", "POST /api/remote/viewer/start", 409, hostKey, start, KindHostKey, "", ""},
		{"connect is rejected", "POST /api/remote/connect", 200, `{"ok":false,"message":"x"}`, connect, KindSSHUnreachable, "", ""},
		{"connect rejects a password", "POST /api/remote/connect", 200, `{"ok":false,"message":"Authentication failed."}`, connect, KindSSHAuth, "", ""},
		{"connected without a connection", "POST /api/remote/connect", 200, `{"ok":true,"connection_id":"a","connected":false}`, connect, KindSSHUnreachable, "", ""},
		{"connected without an id", "POST /api/remote/connect", 200, `{"ok":true,"connected":true}`, connect, KindMalformed, "", ""},
		{"a start is rejected", "POST /api/remote/viewer/start", 200, `{"ok":false}`, start, KindSSHPrecondition, "", ""},
		{"a start without a session", "POST /api/remote/viewer/start", 200, `{"ok":true}`, start, KindMalformed, "", ""},
		{"no such connection", "POST /api/remote/disconnect", 200, `{"ok":false,"message":"Connection not found"}`, disconnect, KindNotFound, "connection", connectionID},
		{"no connection ever", "POST /api/remote/disconnect", 200, `{"ok":false,"message":"No connection pool"}`, disconnect, KindNotFound, "connection", connectionID},
		{"no such session to stop", "POST /api/remote/viewer/stop", 404, `{"detail":"Session not found: s1"}`, stop, KindNotFound, "viewer session", "s1"},
		{"no session ever", "POST /api/remote/viewer/stop", 400, `{"detail":"Remote Viewer manager not initialized"}`, stop, KindNotFound, "viewer session", "s1"},
		{"a session that would not stop", "POST /api/remote/viewer/stop", 500, `{"detail":"Failed to stop session: s1"}`, stop, KindServer, "", ""},
		{"no such session", "GET /api/remote/viewer/status/s1", 404, `{"detail":"Session not found: s1"}`, session, KindNotFound, "viewer session", "s1"},
		{"not connected", "GET /api/remote/fs/list", 404, `{"detail":"Connection not found or inactive: rn@127.0.0.1:25022"}`, list, KindNotFound, "connection", connectionID},
		{"never connected", "GET /api/remote/fs/list", 400, `{"detail":"Connection pool not initialized"}`, list, KindNotFound, "connection", connectionID},
		{"no such path", "GET /api/remote/fs/list", 500, `{"detail":"Failed to list directory: [Errno 2] No such file"}`, list, KindNotFound, "path", "/x"},
		{"an unreadable path", "GET /api/remote/fs/list", 500, `{"detail":"Failed to list directory: [Errno 13] Permission denied"}`, list, KindForbidden, "", ""},
		{"the server is gone", "GET /api/remote/fs/list", 500, `{"detail":"Failed to list directory: Not connected to SSH server"}`, list, KindSSHUnreachable, "", ""},
		{"no such environment", "GET /api/remote/config", 404, `{"detail":"Environment 'nope' not found. Please check the environment name."}`, config, KindNotFound, "python environment", "nope"},
		{"a config is rejected", "GET /api/remote/config", 200, `{"ok":false}`, config, KindServer, "", ""},
		{"an ill-formed connection", "GET /api/remote/config", 400, `{"detail":"Invalid connection_id format: bogus"}`, config, KindBadRequest, "", ""},
		{"no paramiko", "POST /api/remote/connect", 503, `{"detail":"Remote module not available: No module named 'paramiko'"}`, connect, KindUnsupported, "", ""},
		{"too many attempts", "POST /api/remote/connect", 429, `{"detail":"Rate limit exceeded"}`, connect, KindRateLimited, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on(tt.route, answer(tt.status, "application/json", []byte(tt.body)))
			e := typed(t, tt.call(t.Context(), v.client(t)), tt.want)
			if e.Resource != tt.resource || e.ResourceID != tt.id || e.Status != tt.status || (tt.want == KindHostKey) != (e.HostKey != nil) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestRemote_WebPageIsUnsupported(t *testing.T) {
	v := newViewer(t, "0.6.0") // assumed to have the route, as before a restart
	v.on("GET /api/remote/fs/list", answer(200, "text/html; charset=utf-8", []byte("<html>")))
	_, err := v.client(t).ListDirectory(t.Context(), connectionID, "/")
	wantKind(t, err, KindUnsupported)
	v = newViewer(t, "0.7.2")
	_, err = v.client(t).CheckPath(t.Context(), connectionID, "/")
	if e := typed(t, err, KindUnsupported); !strings.Contains(e.Alternative, "ssh") || len(v.requests()) != 0 {
		t.Errorf("%+v", e)
	}
}
