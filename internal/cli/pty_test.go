//go:build unix

package cli

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// terminal is the master side of a terminal in which the binary runs.
type terminal struct {
	*os.File

	cmd    *exec.Cmd
	before term.State
	shown  bytes.Buffer // output read so far
}

// startInTerminal runs the binary, with the demo as its server, in a new terminal.
func startInTerminal(t *testing.T, columns uint16, env []string, args ...string) *terminal {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"TERM=xterm", "RUNICORN_GRPC_ADDRESS=" + demo.GRPCAddr, "HOME=" + t.TempDir()}, env...)
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &terminal{File: file, cmd: cmd, before: state(t, file)}
}

func state(t *testing.T, file *os.File) term.State {
	t.Helper()
	s, err := term.GetState(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// readUntil reads until the terminal has shown a text.
func (tt *terminal) readUntil(t *testing.T, want string) {
	t.Helper()
	for piece := make([]byte, 4096); !strings.Contains(tt.shown.String(), want); {
		n, err := tt.Read(piece)
		tt.shown.Write(piece[:n])
		if err != nil {
			t.Fatalf("it showed %q: %v", tt.shown.String(), err)
		}
	}
}

// end waits for the exit code, and checks that the terminal was restored.
func (tt *terminal) end(t *testing.T, code int) string {
	t.Helper()
	_, _ = tt.shown.ReadFrom(tt) // ends with EIO on Linux when the other side is closed
	if _ = tt.cmd.Wait(); tt.cmd.ProcessState.ExitCode() != code {
		t.Errorf("%v, want exit code %d; it showed %q", tt.cmd.ProcessState, code, tt.shown.String())
	}
	if state(t, tt.File) != tt.before {
		t.Error("the modes of the terminal have changed")
	}
	return tt.shown.String()
}

func TestATerminalShowsColorsUnlessTheyAreUnwanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env, command string
		colors       bool
	}{
		{"", "ls", true},
		{"", "show baseline", true},
		{"", "best val/accuracy", true},
		{"NO_COLOR=1", "ls", false},
		{"TERM=dumb", "ls", false},
		{"", "ls --json", false},
	} {
		shown := startInTerminal(t, 80, []string{c.env}, strings.Fields(c.command)...).end(t, 0)
		if got := strings.Contains(shown, "\x1b["); got != c.colors || !strings.Contains(shown, "vision") {
			t.Errorf("%s %s: colors %v, want %v; it showed %q", c.env, c.command, got, c.colors, shown)
		}
		if opened, closed := strings.Count(shown, "\x1b["), 2*strings.Count(shown, "\x1b[0m"); opened != closed {
			t.Errorf("%s %s: a color is not ended in %q", c.env, c.command, shown)
		}
	}
}

func TestAPipeOnATerminalHasNoColors(t *testing.T) {
	t.Parallel()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	controller, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer controller.Close()
	defer tty.Close()
	cmd := exec.CommandContext(t.Context(), path, "ls", "--address", demo.GRPCAddr)
	cmd.Stdin, cmd.Stderr = tty, tty
	if out, err := cmd.Output(); err != nil || bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte("vision")) {
		t.Errorf("%v: %q", err, out)
	}
}

func TestTheProgressOfAnExportFitsIntoTheTerminal(t *testing.T) {
	t.Parallel()
	for _, columns := range []uint16{0, 12, 40, 200} {
		file := t.TempDir() + "/baseline.csv"
		shown := startInTerminal(t, columns, nil, "export", "baseline", "-o", file).end(t, 0)
		progress, rest, found := cutLast(shown, clearLine)
		if !found || !strings.Contains(progress, " of ") && columns != 12 || !strings.Contains(rest, file) || strings.Contains(progress, "\n") {
			t.Errorf("%d columns: it showed %q", columns, shown)
		}
		for line := range strings.SplitSeq(progress, clearLine) {
			if columns > 0 && len(line) >= int(columns) {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

func TestControlCEndsWhatFollowsARun(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"tail vision/vit", "logs -f vision/vit", "tail vision/vit --json"} {
		tt := startInTerminal(t, 80, nil, strings.Fields(command)...)
		tt.readUntil(t, "\n")
		tt.interrupt(t)
	}
}

func TestControlCEndsWhatWaitsForAServer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, command := range []string{"ls", "tail x", "export x -o x.csv"} {
		tt := startInTerminal(t, 80, nil, append(strings.Fields(command), "--address", silent.Addr().String())...)
		connection, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		tt.interrupt(t)
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}
}

// interrupt presses Ctrl-C, and expects the command to end without further output.
func (tt *terminal) interrupt(t *testing.T) {
	t.Helper()
	if _, err := tt.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if _, after, _ := strings.Cut(tt.end(t, 130), "^C"); strings.Contains(after, "runicorn-grpc:") {
		t.Errorf("it complains: %q", after)
	}
}
