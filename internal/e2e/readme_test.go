package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// block is a shell block of the README with the note above it, which says what
// the test does with it:
//
//	starts          the command starts the server that later blocks talk to
//	runs            it must succeed
//	prints "X"      it must succeed and print X
//	fails, prints…  it must fail and print X
//	no, …           it is not run, for the reason given
type block struct {
	line           int
	note, commands string
}

var blocks = regexp.MustCompile("(?ms)^(?:<!-- test: ([^\n]*) -->\n)?```sh\n(.*?)^```$")

// TestREADME_EveryCommandWorks follows the README from top to bottom, in a
// fresh copy of the repository, as a newcomer would: with a Viewer of 0.7.2
// all of it, with the older ones what asks the server.
func TestREADME_EveryCommandWorks(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			followREADME(t, newGuide(t, version))
		})
	}
}

func followREADME(t *testing.T, g *guide) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range blocks.FindAllSubmatchIndex(text, -1) {
		b := block{line: 1 + strings.Count(string(text[:at[4]]), "\n"), commands: string(text[at[4]:at[5]])}
		if at[2] >= 0 {
			b.note = string(text[at[2]:at[3]])
		}
		if g.asksOnly && b.note != "starts" && !strings.HasPrefix(b.commands, "grpcurl") && !strings.HasPrefix(b.commands, "curl") {
			continue
		}
		g.follow(b)
	}
}

// guide follows the README.
type guide struct {
	t      *testing.T
	dir    string
	env    []string
	seeded *realviewer.Seeded
	srv    *server
	// asksOnly leaves out what does not ask the server: it was done already.
	asksOnly bool
}

func newGuide(t *testing.T, version realviewer.Version) *guide {
	t.Helper()
	g := &guide{t: t, dir: t.TempDir(), seeded: lab.Viewer(t, version), asksOnly: version != realviewer.V072}
	if err := copyTree(root(), g.dir); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	g.env = append(os.Environ(),
		"GOFLAGS=-buildvcs=false", // tools need no race detector
		"RUN="+g.seeded.Manifest.Runs[realviewer.KeyBasic].RunID,
		"PATH="+bin+string(os.PathListSeparator)+pythonBin(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
	)
	g.shell(0, "go build -modfile=tools/grpcurl/go.mod -o "+bin+"/grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl")
	t.Cleanup(func() { g.stopServer() })
	return g
}

// pythonBin is a virtual environment of the README's own, kept between runs.
func pythonBin(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	venv := filepath.Join(cache, "runicorn-grpc", "venvs", "readme")
	python := realviewer.Require(t, realviewer.V072).Python
	if _, err := os.Stat(filepath.Join(venv, "bin", "pip")); err != nil {
		if out, err := exec.CommandContext(t.Context(), python, "-m", "venv", venv).CombinedOutput(); err != nil {
			t.Fatalf("make a virtual environment: %v\n%s", err, out)
		}
	}
	return filepath.Join(venv, "bin")
}

func (g *guide) follow(b block) {
	g.t.Helper()
	want := ""
	if _, rest, ok := strings.Cut(b.note, "prints "); ok {
		want = strings.Trim(rest, `"`)
	}
	switch {
	case b.note == "":
		g.t.Errorf("README.md:%d: a shell block without a test note", b.line)
	case strings.HasPrefix(b.note, "no, "):
	case b.note == "starts":
		g.start(b)
	default:
		out, err := g.run(g.rewrite(b.commands))
		if fails := strings.HasPrefix(b.note, "fails"); (err != nil) != fails {
			g.t.Fatalf("README.md:%d: %v, want failure: %v\n%s", b.line, err, fails, out)
		}
		if !strings.Contains(out, want) {
			g.t.Errorf("README.md:%d: does not print %q:\n%s", b.line, want, out)
		}
	}
}

// start starts the server with the block's flags.
func (g *guide) start(b block) {
	g.t.Helper()
	_, flags, ok := strings.Cut(strings.TrimSpace(b.commands), "./cmd/server")
	if !ok {
		g.t.Fatalf("README.md:%d: does not start the server", b.line)
	}
	g.stopServer()
	flags = strings.ReplaceAll(flags, "http://127.0.0.1:23300", g.seeded.URL())
	srv, err := startServer(g.t.Context(), strings.Fields(flags)...)
	if err != nil {
		g.t.Fatalf("README.md:%d: %v", b.line, err)
	}
	g.srv = srv
}

func (g *guide) stopServer() {
	if g.srv == nil {
		return
	}
	if err := g.srv.stop(); err != nil {
		g.t.Errorf("stop the server: %v\n%s", err, g.srv.output())
	}
	g.srv = nil
}

// rewrite puts the server's real ports in place of the default ones, which
// something else may have taken on this machine.
func (g *guide) rewrite(commands string) string {
	if g.srv == nil {
		return commands
	}
	return strings.NewReplacer("127.0.0.1:23310", g.srv.grpcAddr, "127.0.0.1:23311", g.srv.httpAddr).Replace(commands)
}

func (g *guide) run(commands string) (string, error) {
	cmd := exec.CommandContext(g.t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = g.dir, g.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (g *guide) shell(line int, commands string) {
	g.t.Helper()
	if out, err := g.run(commands); err != nil {
		g.t.Fatalf("README.md:%d: %v\n%s", line, err, out)
	}
}

// copyTree copies a checkout without what a clone would not have.
func copyTree(from, to string) error {
	skip := map[string]bool{".git": true, ".protodeps": true, ".base": true, "node_modules": true, "protos": true, "stubs": true, "target": true, ".venv": true, "build": true, "site": true}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && skip[entry.Name()]:
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
}

// TestREADME_NamesEveryFlag compares the README with --help.
func TestREADME_NamesEveryFlag(t *testing.T) {
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), path, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ {2,6}(?:-h, )?(--[a-z-]+)(?:=("?)([^\s"]*)"?)?`).FindAllStringSubmatch(string(help), -1)
	if len(flags) < 20 {
		t.Fatalf("--help names %d flags", len(flags))
	}
	for _, flag := range flags {
		row := regexp.MustCompile("(?m)^\\| `" + flag[1] + "(=[^`]*)?` \\|(.*)$").FindString(string(readme))
		if row == "" {
			t.Errorf("the README's table lacks %s", flag[1])
		} else if !strings.Contains(row, flag[3]) {
			t.Errorf("the README's row of %s lacks its default or value %s", flag[1], flag[3])
		}
	}
}

// TestREADME_NamesEveryRPC compares the README's table with the contract.
func TestREADME_NamesEveryRPC(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rpcs := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("runicorn.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				rpcs++
				row := regexp.MustCompile(`(?m)^\|[^|]*\b` + string(methods.Get(j).Name()) + `\b[^|]*\|`)
				if !row.Match(readme) {
					t.Errorf("the README's table lacks %s", methods.Get(j).Name())
				}
			}
		}
		return true
	})
	if rpcs < 50 {
		t.Errorf("the contract has %d RPCs", rpcs)
	}
}
