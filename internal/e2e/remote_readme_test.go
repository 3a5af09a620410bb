package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// followTheReadme runs the README's walk to a GPU server as it is written, but
// for the names in it, and forgets the host key again.
func (s *remoteStory) followTheReadme(t *testing.T) {
	if s.sshd.Password == "" {
		return // it logs in by password
	}
	text, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	srv := mustStart(t, "--viewer="+s.viewer.URL())
	names := strings.NewReplacer("127.0.0.1:23311", srv.httpAddr, "127.0.0.1:23310", srv.grpcAddr, "gpu.example.org", "127.0.0.1",
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
		t.Fatalf("the README's walk: %v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		"HOST_KEY_UNKNOWN", "fingerprint_sha256", `"connected":true`, s.run.RunID, `"batch":{`, `"caught_up":`,
		`"remoteRoot":"` + s.root, `"stopped_session_ids":["`,
	} {
		_, after, found := strings.Cut(strings.ReplaceAll(rest, `": `, `":`), want)
		if !found {
			t.Fatalf("the README's walk does not print %q, or not in its turn:\n%s", want, out)
		}
		rest = after
	}
	s.want(t, "remove a host key", "OK", func() error {
		got, err := s.a.remote.RemoveHostKey(t.Context(), &runicornapiv1.RemoveHostKeyRequest{
			Viewer: s.name, Host: "127.0.0.1", Port: new(int32(s.sshd.Port)), KeyType: "ssh-ed25519",
		})
		if err == nil && !got.GetRemoved() {
			t.Error("there was no key")
		}
		return err
	})
}
