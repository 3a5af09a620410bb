package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// readmeSteps run the walk of docs/remote.md to a GPU server, which logs in by password,
// and forget the host key again.
func (s *remoteStory) readmeSteps() []remoteStep {
	without := s.version != realviewer.V072 || s.ssh || s.sshd.Password == ""
	return []remoteStep{
		{name: "the walk of docs/remote.md", skip: without, call: s.followReadme},
		{name: "remove a host key", want: "OK", skip: without, call: func(t *testing.T) error {
			got, err := s.a.remote.RemoveHostKey(t.Context(), &runicornapiv1.RemoveHostKeyRequest{
				Viewer: s.name, Host: loopback, Port: new(int32(s.sshd.Port)), KeyType: "ssh-ed25519",
			})
			if err == nil && !got.GetRemoved() {
				t.Error("there was no key")
			}
			return err
		}},
	}
}

// followReadme runs the commands of the document unchanged except for names.
func (s *remoteStory) followReadme(t *testing.T) error {
	text, err := os.ReadFile(filepath.Join(root(), "docs", "remote.md"))
	if err != nil {
		return err
	}
	srv := mustStart(t, "--viewer="+s.viewer.URL())
	names := strings.NewReplacer("127.0.0.1:23311", srv.httpAddr, "127.0.0.1:23310", srv.grpcAddr, "gpu.example.org", loopback,
		`"port": 22`, fmt.Sprintf(`"port": %d`, s.sshd.Port), `"me"`, `"`+s.sshd.User+`"`,
		"my-password", s.sshd.Password, "/home/me/runs", s.root)
	var commands strings.Builder
	for _, b := range readBlocks(string(text)) {
		if strings.Contains(b.note, "TestRemote_OverARealSSHServer") {
			commands.WriteString(b.commands + "echo\n")
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-uo", "pipefail", "-c", names.Replace(commands.String()))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(grpcurl(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		"HOST_KEY_UNKNOWN", "fingerprint_sha256", `"connected":true`, s.run.RunID, `"batch":{`, `"caught_up":`,
		`"remoteRoot":"` + s.root, `"stopped_session_ids":["`,
	} {
		_, after, found := strings.Cut(strings.ReplaceAll(rest, `": `, `":`), want)
		if !found {
			return fmt.Errorf("it does not print %q, or not in its turn:\n%s", want, out)
		}
		rest = after
	}
	return nil
}
