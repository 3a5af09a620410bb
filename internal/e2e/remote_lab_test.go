package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/sshtest"
)

// remoteLab is one Viewer and the "GPU server" that it reaches over SSH, which has a
// growing run. Its name in the servers is that of the lab.
type remoteLab struct {
	name    string // of the viewer, and the column of the table
	version realviewer.Version
	ssh     bool // whether the Viewer has the ssh program on its PATH
	sshd    *sshtest.Server
	keyText string         // of the user's private key
	agent   *sshtest.Agent // of the Viewer
	viewer  *realviewer.Viewer
	root    string // the storage on the server
	run     realviewer.Run
	lines   [][]byte // of the run, of which the last is not written yet
	tailed  realviewer.Run
	pending [][]byte // lines of the tailed run that are not written yet
}

// otherViewer is another Viewer of the servers that never uses SSH.
const otherViewer = "quiet"

// remoteLabs are all generations with the ssh program and without: 0.6.0 and
// 0.7.2 use it where there is one, and other libraries else.
func remoteLabs() []*remoteLab {
	var labs []*remoteLab
	for _, version := range realviewer.Versions() {
		labs = append(labs,
			&remoteLab{name: viewerName(version) + "-ssh", version: version, ssh: true},
			&remoteLab{name: viewerName(version) + "-bare", version: version})
	}
	return labs
}

// startRemoteLabs starts the labs side by side, and two servers in front of all of
// them, which write everything to their logs.
func startRemoteLabs(t *testing.T) (labs []*remoteLab, a, b *server) {
	t.Helper()
	sshtest.Require(t)
	for _, version := range realviewer.Versions() {
		realviewer.Require(t, version)
	}
	labs = remoteLabs()
	errs := make([]error, len(labs))
	var starting sync.WaitGroup
	t.Cleanup(func() {
		var closing sync.WaitGroup
		for _, l := range labs {
			closing.Go(func() {
				if err := l.close(); err != nil {
					t.Errorf("%s: %v", l.name, err)
				}
			})
		}
		closing.Wait()
	})
	for i, l := range labs {
		starting.Go(func() { errs[i] = l.start(t.Context(), t.TempDir()) })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--log-level=debug", "--allow-key-paths", "--health-interval=1s", "--stop-remote-on-drain"}, quickTails...)
	args = append(args, "--viewer="+otherViewer+"="+lab.Viewer(t, realviewer.V060).URL())
	for _, l := range labs {
		args = append(args, fmt.Sprintf("--viewer=%s=%s", l.name, l.viewer.URL()))
	}
	return labs, mustStart(t, args...), mustStart(t, args...)
}

func (l *remoteLab) start(ctx context.Context, empty string) error {
	install, err := realviewer.Find(l.version)
	if err != nil {
		return err
	}
	if l.sshd, err = sshtest.Start(ctx, sshtest.Options{Python: install.Python}); err != nil {
		return err
	}
	key, err := os.ReadFile(l.sshd.Key)
	if l.keyText = string(key); err != nil {
		return err
	}
	if err := l.writeRun(); err != nil {
		return err
	}
	if l.agent, err = sshtest.StartAgent(ctx); err != nil {
		return err
	}
	if err := l.prepareAgent(ctx); err != nil {
		return err
	}
	options := realviewer.Options{Env: []string{"SSH_AUTH_SOCK=" + l.agent.Socket}}
	if !l.ssh {
		options.Env = append(options.Env, "PATH="+empty)
	}
	l.viewer, err = realviewer.Start(ctx, install, options)
	return err
}

// tunnelsByKey reports whether a key file with which the Viewer connects also suffices
// for a tunnel: 0.6.0 does not pass it to the ssh program.
func (l *remoteLab) tunnelsByKey() bool { return l.version != realviewer.V060 || !l.ssh }

// prepareAgent gives the agent the key if no other login of the lab suffices for a
// tunnel.
func (l *remoteLab) prepareAgent(ctx context.Context) error {
	if err := l.agent.Clear(ctx); err != nil || l.sshd.Password != "" || l.tunnelsByKey() {
		return err
	}
	return l.agent.Add(ctx, l.sshd.Key)
}

// curveLines are the lines of a training.
func curveLines(created time.Time, n int) [][]byte {
	lines := make([][]byte, 0, n)
	for line := range realviewer.Curve(created, n, "loss") {
		lines = append(lines, slices.Clone(line))
	}
	return lines
}

// writeRun writes two running runs to the server: one of nine lines, and one to
// be followed.
func (l *remoteLab) writeRun() (err error) {
	l.root = filepath.Join(l.sshd.Home, "runs")
	created := time.Now()
	l.lines = curveLines(created, 10)
	l.run, err = realviewer.WriteRun(l.root, l.version, realviewer.RunSpec{
		Project: "gpu", Name: "live", Status: "running", PID: os.Getpid(), Created: created,
		Lines: slices.Values(l.lines[:9]),
	})
	if err != nil {
		return err
	}
	l.pending = curveLines(created, 60)
	l.tailed, err = realviewer.WriteRun(l.root, l.version, realviewer.RunSpec{
		Project: "gpu", Name: "tailed", Status: "running", PID: os.Getpid(), Created: created.Add(-time.Minute),
		Lines: slices.Values(l.pending[:20]),
	})
	l.pending = l.pending[20:]
	if err != nil {
		return err
	}
	home, err := os.Stat(l.sshd.Home)
	if err != nil {
		return err
	}
	return filepath.WalkDir(l.root, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, giveTo(home, path))
	})
}

// grow writes the last line of the run.
func (l *remoteLab) grow() error { return appendLines(l.run.EventFile, l.lines[9:]) }

// log writes the next ten lines of the tailed run.
func (l *remoteLab) log() error {
	lines := l.pending[:10]
	l.pending = l.pending[10:]
	return appendLines(l.tailed.EventFile, lines)
}

// finish gives the tailed run its end.
func (l *remoteLab) finish() error {
	text := fmt.Sprintf(`{"status": "finished", "started_at": 1, "ended_at": %d}`, time.Now().Unix())
	return os.WriteFile(filepath.Join(l.tailed.Dir, "status.json"), []byte(text), 0o644)
}

func appendLines(path string, lines [][]byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(append(bytes.Join(lines, []byte("\n")), '\n'))
	return errors.Join(err, file.Close())
}

func (l *remoteLab) close() (err error) {
	if l.viewer != nil {
		err = l.viewer.Close() // which ends its remote Viewers, too
	}
	if l.sshd != nil {
		err = errors.Join(err, l.sshd.Close())
	}
	if l.agent != nil {
		err = errors.Join(err, l.agent.Close())
	}
	return err
}

// id is the id of the connection to the server.
func (l *remoteLab) id() string { return fmt.Sprintf("%s@127.0.0.1:%d", l.sshd.User, l.sshd.Port) }

// target is the server, for a login that the caller completes.
func (l *remoteLab) target() *runicornapiv1.SshTarget {
	return &runicornapiv1.SshTarget{Host: loopback, Port: new(int32(l.sshd.Port)), Username: l.sshd.User, UseAgent: new(false)}
}

// login is a login that works: by password where there is one.
func (l *remoteLab) login() *runicornapiv1.SshTarget {
	target := l.target()
	if target.Password = l.sshd.Password; target.GetPassword() == "" {
		target.PrivateKeyPath = l.sshd.Key
	}
	return target
}

// hostKey is the server's own key, with its fingerprint.
func (l *remoteLab) hostKey(t *testing.T) *runicornapiv1.HostKey {
	t.Helper()
	return l.publicKey(t, filepath.Join(l.sshd.Dir, "hostkey.pub"))
}

// publicKey reads a public key as if it were the server's.
func (l *remoteLab) publicKey(t *testing.T, path string) *runicornapiv1.HostKey {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(text))
	raw, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return &runicornapiv1.HostKey{
		Host: loopback, Port: int32(l.sshd.Port), KeyType: words[0], PublicKey: words[0] + " " + words[1],
		FingerprintSha256: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
	}
}
