package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestADeadServerIsOneSentenceThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // reserves the port
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ls", "viewers", "show x", "tail x", "logs x", "best x", "export x -o x.csv"} {
		got := runCommand(t, append(strings.Fields(command), "--address", address)...)
		want := address + " does not answer (dial tcp " + address + ": connect: connection refused); is runicorn-grpc running there? " +
			"Start it with: runicorn-grpc --demo, or set another server with --address"
		if got.err == nil || got.err.Error() != want || got.out != "" || got.errOut != "" {
			t.Errorf("%s: %s", command, got.text())
		}
	}
}

func TestARefusedTokenSaysHowToGiveOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tokens", []byte("read 0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := binary.Start(t.Context(), "--demo", "--auth-token-file="+dir+"/tokens")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	env := map[string]string{"RUNICORN_GRPC_ADDRESS": server.GRPCAddr}
	got := runWith(t, env, "viewers", "--token=another-secret")
	if got.err == nil || !strings.HasSuffix(got.err.Error(), "set one with $RUNICORN_GRPC_TOKEN or --token") || strings.Contains(got.text(), "secret") {
		t.Error(got.text())
	}
	if got := runWith(t, env, "viewers", "--token=0123456789abcdef0123456789abcdef"); got.err != nil {
		t.Error(got.text())
	}
	env["RUNICORN_GRPC_TOKEN"] = "0123456789abcdef0123456789abcdef"
	if got := runWith(t, env, "viewers"); got.err != nil {
		t.Error(got.text())
	}
}

// closedPipe is the standard output of a command whose reader has closed the pipe.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestAPipeThatClosesEndsACommandQuietly(t *testing.T) {
	t.Parallel()
	env := func(string) string { return demo.GRPCAddr }
	for _, command := range []string{"ls", "ls --json", "show baseline", "tail vision/vit", "logs -f vision/vit"} {
		var errOut bytes.Buffer
		if err := Run(t.Context(), append(strings.Fields(command), "--token="), env, closedPipe{}, &errOut); err != nil || errOut.Len() > 0 {
			t.Errorf("%s: %v\n%s", command, err, errOut.String())
		}
	}
}

// startFollowing runs the binary on the demo's live run, and returns when it has
// printed a line.
func startFollowing(t *testing.T) (cmd *exec.Cmd, out *os.File, errOut *bytes.Buffer) {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	errOut = &bytes.Buffer{}
	cmd = exec.CommandContext(ctx, path, "tail", "vision/vit", "--address", demo.GRPCAddr)
	cmd.Stdout, cmd.Stderr = write, errOut
	if err := errors.Join(cmd.Start(), write.Close()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(read).ReadString('\n'); err != nil || !strings.Contains(line, "step ") || strings.Contains(line, "\x1b") {
		t.Fatalf("it printed %q: %v\n%s", line, err, errOut)
	}
	return cmd, read, errOut
}

func TestTheProcessEndsQuietlyWhenItsPipeCloses(t *testing.T) {
	t.Parallel()
	cmd, out, errOut := startFollowing(t)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // ends by SIGPIPE, as programs usually do
	state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || state.Signal() != syscall.SIGPIPE && state.ExitStatus() != 0 || errOut.Len() > 0 {
		t.Errorf("%v: %s", cmd.ProcessState, errOut)
	}
}

func TestTheProcessEndsQuietlyWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	cmd, out, errOut := startFollowing(t)
	defer out.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = bufio.NewReader(out).WriteTo(&bytes.Buffer{}) }() // ends with the process
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 || errOut.Len() > 0 {
		t.Errorf("%v: %s", cmd.ProcessState, errOut)
	}
}

func TestColorsAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	if got := runCommand(t, "ls"); strings.Contains(got.out, "\x1b") || !strings.Contains(got.out, "running") {
		t.Errorf("into a pipe it prints %q", got.out)
	}
	rows := &table{}
	rows.header("学習率", "STATUS")
	rows.add(number(1.5), cell{text: "failed", color: "31"})
	rows.add(text("a\x1bb\u202e"), cell{})
	var plain, colored bytes.Buffer
	if err := errors.Join(rows.print(&plain, false), rows.print(&colored, true)); err != nil {
		t.Fatal(err)
	}
	if want := "学習率  STATUS\n   1.5  failed\n  a\ufffdb\ufffd\n"; plain.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", plain.String(), want)
	}
	if want := "\x1b[1m学習率\x1b[0m  \x1b[1mSTATUS\x1b[0m\n   1.5  \x1b[31mfailed\x1b[0m\n"; !strings.HasPrefix(colored.String(), want) {
		t.Errorf("printed %q", colored.String())
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for want, sizes := range map[string][2]int64{
		"[###############...............]  50 %  512.0 KiB of 1.0 MiB": {512 << 10, 1 << 20},
		"[##############################] 100 %  5 B of 5 B":           {5, 5},
		"1.5 GiB": {3 << 29, -1},
	} {
		if got := progress(sizes[0], sizes[1]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var shown bytes.Buffer
	bar := &progressBar{to: &shown, shown: true}
	for done := range int64(100) {
		bar.show(done, 100)
	}
	bar.clear()
	if got := shown.String(); strings.Count(got, "\r") > 4 || !strings.HasSuffix(got, clearLine) {
		t.Errorf("it wrote %q", got)
	}
	shown.Reset()
	bar = &progressBar{to: &shown}
	bar.show(1, 2)
	if bar.clear(); shown.Len() > 0 {
		t.Errorf("without a terminal it wrote %q", shown.String())
	}
}
