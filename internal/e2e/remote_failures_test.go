package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// What no server may ever repeat, besides the servers' own secrets.
const (
	wrongPassword   = "canary-wrong-password"
	wrongPassphrase = "canary-wrong-passphrase"
	notAKey         = "canary-not-a-key\ncanary-second-line"
	noSuchKey       = "/nonexistent/canary-key-file"
)

// tryKeys connects with every form of key, good and bad.
func (s *remoteStory) tryKeys(t *testing.T) {
	ssh07 := s.version == realviewer.V072 && s.ssh
	with := func(change func(*runicornapiv1.SshTarget)) *runicornapiv1.SshTarget {
		target := s.target()
		change(target)
		return target
	}
	locked := with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKeyPath, target.Passphrase = s.sshd.LockedKey, s.sshd.Passphrase
	})
	s.wantConnect(t, "connect, key file with passphrase", either(ssh07, "Unauthenticated SSH_AUTH_FAILED", "OK"), locked)
	key, err := os.ReadFile(s.sshd.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.wantConnect(t, "connect, key as text", "OK", with(func(target *runicornapiv1.SshTarget) { target.PrivateKey = string(key) }))
	refusedKey := either(ssh07, "Unauthenticated SSH_AUTH_FAILED", "InvalidArgument SSH_KEY_INVALID")
	s.wantConnect(t, "connect, encrypted key without passphrase", refusedKey, with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKeyPath = s.sshd.LockedKey
	}))
	s.wantConnect(t, "connect, wrong passphrase", refusedKey, with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKeyPath, target.Passphrase = s.sshd.LockedKey, wrongPassphrase
	}))
	s.wantConnect(t, "connect, key file missing", "InvalidArgument SSH_KEY_INVALID", with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKeyPath = noSuchKey
	}))
	s.wantConnect(t, "connect, text that is no key", "InvalidArgument SSH_KEY_INVALID", with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKey = notAKey
	}))
	s.wantConnect(t, "connect, nobody's key", "Unauthenticated SSH_AUTH_FAILED", with(func(target *runicornapiv1.SshTarget) {
		target.PrivateKeyPath = s.sshd.ForeignKey
	}))
	s.wantConnect(t, "connect, no credentials", "Unauthenticated SSH_AUTH_FAILED", s.target())
}

// missTheServer asks for servers that are not there or not prepared.
func (s *remoteStory) missTheServer(t *testing.T) {
	refused := s.login()
	refused.Port = new(int32(1)) // of a service that nobody runs
	s.wantConnect(t, "connection refused", "Unavailable SSH_UNREACHABLE", refused)
	unknown := s.login()
	unknown.Host = "nohost.invalid"
	s.wantConnect(t, "name does not resolve", "Unavailable SSH_UNREACHABLE", unknown)
	odd := s.login()
	odd.Host = "-oProxyCommand=touch"
	s.wantConnect(t, "host that is an option of ssh", "InvalidArgument INVALID_REQUEST", odd)

	bare := s.login()
	bare.Port = new(int32(s.sshd.BarePort))
	start := func() error {
		_, err := s.a.remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Viewer: s.name, Target: bare, RemoteRoot: s.root})
		return err
	}
	s.want(t, "start a Viewer, unknown host key", s.on05("FailedPrecondition REMOTE_RUNICORN_MISSING", "FailedPrecondition HOST_KEY_UNKNOWN"), func() error {
		err := start()
		if key := hostKeyOf(err); key != nil {
			_, acceptErr := s.a.remote.AcceptHostKey(t.Context(), &runicornapiv1.AcceptHostKeyRequest{Viewer: s.name, HostKey: key})
			if acceptErr != nil {
				t.Error(acceptErr)
			}
		}
		return err
	})
	s.want(t, "start a Viewer, no runicorn on the server", "FailedPrecondition REMOTE_RUNICORN_MISSING", func() error {
		err := start()
		if command := detailOf[*errdetails.ErrorInfo](err).GetMetadata()["command"]; command != "pip install runicorn" {
			t.Errorf("the command to install it is %q", command)
		}
		return err
	})
	s.disconnect(t)
}

// keepConnections saves a connection with its secrets, which never come back.
func (s *remoteStory) keepConnections(t *testing.T) {
	ctx, target := t.Context(), s.login()
	target.Passphrase, target.PrivateKey = wrongPassphrase, notAKey
	s.want(t, "save a connection", "OK", func() error {
		got, err := s.a.remote.SaveConnection(ctx, &runicornapiv1.SaveConnectionRequest{
			Viewer: s.name, Target: target, DisplayName: "GPU server", RememberSecrets: true,
		})
		if saved := got.GetSavedConnection(); err == nil && (saved.GetDisplayName() != "GPU server" || !saved.GetHasSavedPrivateKey()) {
			t.Errorf("saved as %v", saved)
		}
		return err
	})
	id := fmt.Sprintf("127.0.0.1:%d@%s", s.sshd.Port, s.sshd.User)
	listed, err := s.a.remote.ListSavedConnections(ctx, &runicornapiv1.ListSavedConnectionsRequest{Viewer: s.name})
	if err != nil || len(listed.GetSavedConnections()) != 1 || listed.GetSavedConnections()[0].GetSavedConnectionId() != id {
		t.Errorf("saved connections: %v, %v", listed, err)
	}
	s.out.recvMessage(fmt.Sprint(listed))
	remove := func() error {
		_, err := s.a.remote.DeleteSavedConnection(ctx, &runicornapiv1.DeleteSavedConnectionRequest{Viewer: s.name, SavedConnectionId: id})
		return err
	}
	s.want(t, "delete a saved connection", "OK", remove)
	s.want(t, "delete one that is not there", "NotFound RESOURCE_NOT_FOUND", remove)
}

// loseTheServer starts a Viewer with a key file, ends the SSH server under its
// session, and starts it again.
func (s *remoteStory) loseTheServer(t *testing.T) {
	ctx, id := t.Context(), s.id()
	start := func(target *runicornapiv1.SshTarget) (*runicornapiv1.ViewerSession, error) {
		req := s.startRequest(t)
		req.Target = target
		answer, err := s.a.remote.StartViewer(ctx, req)
		return answer.GetSession(), err
	}
	var session *runicornapiv1.ViewerSession
	tunnel := either(s.tunnelsByKey() || s.sshd.Password == "", "OK", "FailedPrecondition REMOTE_VIEWER_FAILED")
	s.want(t, "start a Viewer, key file", tunnel, func() (err error) {
		target := s.target()
		target.PrivateKeyPath = s.sshd.Key
		session, err = start(target)
		return err
	})
	if err := s.sshd.Kill(); err != nil {
		t.Fatal(err)
	}
	if session != nil {
		s.want(t, "sshd killed: list experiments of the remote Viewer",
			"Unavailable VIEWER_UNREACHABLE or NotFound VIEWER_NOT_FOUND", func() error {
				_, err := s.a.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: session.GetViewer()})
				return err
			})
	}
	s.want(t, "sshd killed: read over the connection",
		"NotFound CONNECTION_NOT_FOUND or Unavailable SSH_UNREACHABLE", func() error {
			_, err := s.a.remote.GetRemoteConfig(ctx, &runicornapiv1.GetRemoteConfigRequest{Viewer: s.name, ConnectionId: id})
			return err
		})
	if err := s.sshd.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	s.want(t, "sshd is back: connect and start again", "OK", func() (err error) {
		s.disconnect(t)
		if session, err = start(s.login()); err != nil {
			return err
		}
		_, err = s.b.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: session.GetViewer()})
		return err
	})
	s.want(t, "disconnect with a session (stops it first)", "OK", func() error {
		got, err := s.a.remote.CloseConnection(ctx, &runicornapiv1.CloseConnectionRequest{Viewer: s.name, ConnectionId: "127.0.0.1"})
		if stopped := got.GetStoppedSessionIds(); !slices.Contains(stopped, session.GetSessionId()) {
			t.Errorf("disconnect stopped %q, but not %s", stopped, session.GetSessionId())
		}
		return err
	})
}

// wantNoSecrets looks for the secrets of all calls in the logs of the servers,
// in what clients were told, in the metrics, and in what HTTP answers to bad
// bodies.
func wantNoSecrets(t *testing.T, labs []*remoteLab, out *outcomes, servers ...*server) {
	t.Helper()
	said := map[string]string{"the answers": out.reported.String()}
	for i, g := range servers {
		log, err := os.ReadFile(g.log)
		if err != nil {
			t.Fatal(err)
		}
		said[fmt.Sprintf("log %d", i)] = string(log)
		said[fmt.Sprintf("metrics %d", i)] = visit(t, http.MethodGet, "http://"+g.httpAddr+"/metrics", "")
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
		said[fmt.Sprintf("HTTP answer %d", i)] = visit(t, http.MethodPost, at, fmt.Sprintf(body, labs[0].name))
	}
	secrets := []string{"canary"}
	for _, l := range labs {
		key, err := os.ReadFile(l.sshd.Key)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, strings.Split(string(key), "\n")[2], l.sshd.Key, l.sshd.LockedKey)
	}
	for where, text := range said {
		for _, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s has the secret %q: …%s…", where, secret, text[max(0, at-200):min(len(text), at+200)])
			}
		}
	}
}

// visit makes an HTTP request and returns the body of its answer.
func visit(t *testing.T, method, at, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
