package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// hostKeySteps connect to a server that the Viewer has never seen, and to one
// whose key has changed. 0.5.3 accepts any key.
func (s *remoteStory) hostKeySteps() []remoteStep {
	var refused error
	connect := func(t *testing.T) error {
		if _, refused = s.connect(t.Context(), s.login()); refused == nil {
			s.disconnect(t)
		}
		return refused
	}
	without := s.version == realviewer.V053
	return []remoteStep{
		{name: "unknown host key", want: s.on(realviewer.V053, "OK", "FailedPrecondition HOST_KEY_UNKNOWN"), call: connect},
		{name: "the error presents the server's own key", want: "OK", skip: without, call: func(t *testing.T) error {
			got, key := hostKeyOf(refused), s.hostKey(t)
			if got.GetPublicKey() != key.GetPublicKey() || got.GetFingerprintSha256() != key.GetFingerprintSha256() {
				t.Errorf("the error presents the host key %v, but the server has %v", got, key)
			}
			return nil
		}},
		{name: "accept a host key", want: s.on(realviewer.V053, "Unimplemented VIEWER_LACKS_CAPABILITY", "OK"), call: func(t *testing.T) error {
			return s.acceptHostKey(t.Context(), s.hostKey(t))
		}},
		{name: "another key is accepted", skip: without, call: func(t *testing.T) error {
			return s.acceptHostKey(t.Context(), s.publicKey(t, s.sshd.ForeignKey+".pub"))
		}},
		{name: "changed host key", want: "FailedPrecondition HOST_KEY_CHANGED", skip: without, call: connect},
		{name: "accept the changed host key", want: "OK", skip: without, call: func(t *testing.T) error {
			return s.acceptHostKey(t.Context(), hostKeyOf(refused))
		}},
		{name: "list host keys", want: "OK", skip: without, call: func(t *testing.T) error {
			listed, err := s.a.remote.ListHostKeys(t.Context(), &runicornapiv1.ListHostKeysRequest{Viewer: s.name})
			if keys := listed.GetHostKeys(); len(keys) != 1 || keys[0].GetPublicKey() != s.hostKey(t).GetPublicKey() {
				t.Errorf("known host keys: %v", listed)
			}
			return err
		}},
	}
}

// passwordSteps log in with a wrong password by every call that can, each of which must
// be one attempt in the log of sshd, then with the right one, and then with a wrong one
// again, which is not checked.
func (s *remoteStory) passwordSteps() []remoteStep {
	wrong := s.target()
	wrong.Password = wrongPassword
	const refused = "Unauthenticated SSH_AUTH_FAILED"
	start := func(environment string) func(*testing.T) error {
		return s.oneAttempt(func(t *testing.T) error {
			_, err := s.startViewer(t.Context(), &runicornapiv1.StartViewerRequest{
				Viewer: s.name, Target: wrong, RemoteRoot: s.root, CondaEnv: environment,
			})
			return err
		})
	}
	without := s.sshd.Password == ""
	return []remoteStep{
		{name: "wrong password", want: refused, skip: without, call: s.oneAttempt(func(t *testing.T) error {
			_, err := s.connect(t.Context(), wrong)
			return err
		})},
		{name: "wrong password, start a Viewer", want: refused, skip: without, call: start("")},
		{name: "wrong password, start a Viewer in an environment", want: refused, skip: without, call: start("system")},
		{name: "wrong password over HTTP", want: "OK", skip: without, call: s.oneAttempt(func(t *testing.T) error {
			body := fmt.Sprintf(`{"viewer": %q, "target": {"host": "127.0.0.1", "port": %d, "username": %q, "password": %q, "use_agent": false}}`,
				s.name, s.sshd.Port, s.sshd.User, wrongPassword)
			answer := sendJSON(t, http.MethodPost, "http://"+s.a.httpAddr+"/v1/remote/connections", body)
			if s.out.keep(answer); !strings.Contains(answer, "SSH_AUTH_FAILED") {
				t.Errorf("answered %s", answer)
			}
			return nil
		})},
		{name: "connect", want: "OK", call: func(t *testing.T) error {
			answer, err := s.connect(t.Context(), s.login())
			if answer.GetAlreadyConnected() {
				t.Error("the first connection is called already_connected")
			}
			return err
		}},
		{name: "connect again, with a wrong password (already_connected)", want: "OK", call: func(t *testing.T) error {
			answer, err := s.connect(t.Context(), wrong)
			if !answer.GetAlreadyConnected() {
				t.Error("a connection whose credentials nobody checked is not called already_connected")
			}
			return err
		}},
	}
}

// oneAttempt wants one refused password of a call in the log of sshd.
func (s *remoteStory) oneAttempt(call func(*testing.T) error) func(*testing.T) error {
	return func(t *testing.T) error {
		before := s.sshd.RefusedPasswords()
		err := call(t)
		if n := s.sshd.RefusedPasswords() - before; n != 1 {
			t.Errorf("%d login attempts, want one", n)
		}
		return err
	}
}

// keySteps connect with every form of key, valid and invalid. 0.7.2 passes them to the
// ssh program if it is installed, which does not ask for a passphrase.
func (s *remoteStory) keySteps() []remoteStep {
	const refused, invalid = "Unauthenticated SSH_AUTH_FAILED", "InvalidArgument SSH_KEY_INVALID"
	byProgram := s.version == realviewer.V072 && s.ssh
	var steps []remoteStep
	for _, c := range []struct {
		name, want             string
		path, text, passphrase string
	}{
		{"key file with passphrase", either(byProgram, refused, "OK"), s.sshd.LockedKey, "", s.sshd.Passphrase},
		{"key as text", "OK", "", s.keyText, ""},
		{"encrypted key without passphrase", either(byProgram, refused, invalid), s.sshd.LockedKey, "", ""},
		{"wrong passphrase", either(byProgram, refused, invalid), s.sshd.LockedKey, "", wrongPassphrase},
		{"key file missing", invalid, noSuchKey, "", ""},
		{"text that is no key", invalid, "", notAKey, ""},
		{"nobody's key", refused, s.sshd.ForeignKey, "", ""},
		{"no credentials", refused, "", "", ""},
	} {
		target := s.target()
		target.PrivateKeyPath, target.PrivateKey, target.Passphrase = c.path, c.text, c.passphrase
		steps = append(steps, s.connects("connect, "+c.name, c.want, target))
	}
	return steps
}

// agentSteps log in with nothing but the keys of the Viewer's agent.
func (s *remoteStory) agentSteps() []remoteStep {
	target := s.target()
	target.UseAgent = nil // which is true
	// The library that makes the tunnel without an ssh program does not use the agent.
	tunnel := either(s.version != realviewer.V053 && !s.ssh, noTunnel, "OK")
	return []remoteStep{
		{name: "the agent has no key", call: func(t *testing.T) error { return s.agent.Clear(t.Context()) }},
		s.connects("connect, agent without a key", "Unauthenticated SSH_AUTH_FAILED", target),
		{name: "the agent has the key", call: func(t *testing.T) error { return s.agent.Add(t.Context(), s.sshd.Key) }},
		s.connects("connect, agent", "OK", target),
		s.connects("connect, agent has the key, but may not be used", "Unauthenticated SSH_AUTH_FAILED", s.target()),
		{name: "start a Viewer, agent", want: tunnel, call: func(t *testing.T) error {
			_, err := s.startAndRead(t, target)
			s.disconnect(t)
			return err
		}},
		{name: "the agent is as before", call: func(t *testing.T) error { return s.prepareAgent(t.Context()) }},
	}
}

// absentServerSteps connect to servers that do not exist or are not prepared.
func (s *remoteStory) absentServerSteps() []remoteStep {
	refused, unknown, option, bare := s.login(), s.login(), s.login(), s.login()
	refused.Port = new(int32(1)) // of a service that is not running
	unknown.Host = "nohost.invalid"
	option.Host = "-oProxyCommand=touch"
	bare.Port = new(int32(s.sshd.BarePort))
	start := func(t *testing.T) error {
		_, err := s.startViewer(t.Context(), &runicornapiv1.StartViewerRequest{Viewer: s.name, Target: bare, RemoteRoot: s.root})
		return err
	}
	const missing = "FailedPrecondition REMOTE_RUNICORN_MISSING"
	return []remoteStep{
		s.connects("connection refused", "Unavailable SSH_UNREACHABLE", refused),
		s.connects("name does not resolve", "Unavailable SSH_UNREACHABLE", unknown),
		s.connects("host that is an option of ssh", "InvalidArgument INVALID_REQUEST", option),
		{
			name: "start a Viewer, unknown host key", want: s.on(realviewer.V053, missing, "FailedPrecondition HOST_KEY_UNKNOWN"),
			call: func(t *testing.T) error {
				err := start(t)
				if key := hostKeyOf(err); key != nil {
					if err := s.acceptHostKey(t.Context(), key); err != nil {
						t.Error(err)
					}
				}
				return err
			},
		},
		{name: "start a Viewer, no runicorn on the server", want: missing, call: func(t *testing.T) error {
			err := start(t)
			if command := detailOf[*errdetails.ErrorInfo](err).GetMetadata()["command"]; command != "pip install runicorn" {
				t.Errorf("the command to install it is %q", command)
			}
			s.disconnect(t)
			return err
		}},
	}
}

// savedConnectionSteps save a connection with its secrets, which are never
// returned.
func (s *remoteStory) savedConnectionSteps() []remoteStep {
	id := fmt.Sprintf("127.0.0.1:%d@%s", s.sshd.Port, s.sshd.User)
	remove := func(t *testing.T) error {
		_, err := s.a.remote.DeleteSavedConnection(t.Context(), &runicornapiv1.DeleteSavedConnectionRequest{Viewer: s.name, SavedConnectionId: id})
		return err
	}
	return []remoteStep{
		{name: "save a connection", want: "OK", call: func(t *testing.T) error {
			target := s.login()
			target.Passphrase, target.PrivateKey = wrongPassphrase, notAKey
			got, err := s.a.remote.SaveConnection(t.Context(), &runicornapiv1.SaveConnectionRequest{
				Viewer: s.name, Target: target, DisplayName: "GPU server", RememberSecrets: true,
			})
			if saved := got.GetSavedConnection(); err == nil && (saved.GetDisplayName() != "GPU server" || !saved.GetHasSavedPrivateKey()) {
				t.Errorf("saved as %v", saved)
			}
			return err
		}},
		{name: "list saved connections", want: "OK", call: func(t *testing.T) error {
			listed, err := s.a.remote.ListSavedConnections(t.Context(), &runicornapiv1.ListSavedConnectionsRequest{Viewer: s.name})
			if all := listed.GetSavedConnections(); len(all) != 1 || all[0].GetSavedConnectionId() != id {
				t.Errorf("saved connections: %v", listed)
			}
			s.out.keep(fmt.Sprint(listed))
			return err
		}},
		{name: "delete a saved connection", want: "OK", call: remove},
		{name: "delete one that is not there", want: "NotFound RESOURCE_NOT_FOUND", call: remove},
	}
}
