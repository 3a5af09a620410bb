package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// block is a shell block of a document with the note above it, which says what
// the test does with it:
//
//	starts            the command starts the server that later blocks talk to
//	runs              it must succeed
//	prints "X"        it must succeed and print X
//	fails, prints "X" it must fail and print X
//	no, …             it is not run, for the reason given
//
// "on 0.7: " or "on 0.6, 0.7: " in front of that is for blocks that are run
// with these Viewers only: because others lack something, or once is enough.
type block struct {
	line        int
	generations []string // empty: all
	note        string
	commands    string
}

var (
	blocks = regexp.MustCompile("(?ms)^(?:<!-- test: ([^\n]*) -->\n)?```sh\n(.*?)^```$")
	only   = regexp.MustCompile(`^on ([0-9., ]+): (.*)$`)
)

// readBlocks reads the shell blocks of a README in their order.
func readBlocks(text string) []block {
	var all []block
	for _, at := range blocks.FindAllStringSubmatchIndex(text, -1) {
		b := block{line: 1 + strings.Count(text[:at[4]], "\n"), commands: text[at[4]:at[5]]}
		if at[2] >= 0 {
			b.note = text[at[2]:at[3]]
		}
		if found := only.FindStringSubmatch(b.note); found != nil {
			b.generations, b.note = strings.Split(found[1], ", "), found[2]
		}
		all = append(all, b)
	}
	return all
}

// TestDocuments_EveryCommandWorks follows the README and the documents from top to
// bottom, as a newcomer would in a fresh clone, with Viewers of these generations.
func TestDocuments_EveryCommandWorks(t *testing.T) {
	t.Parallel()
	for document, versions := range map[string][]realviewer.Version{
		"README.md":        {realviewer.V072},
		"docs/api.md":      realviewer.Versions(),
		"docs/tail.md":     realviewer.Versions(),
		"docs/search.md":   {realviewer.V072}, // it starts the demo
		"docs/security.md": {realviewer.V072}, // as above
	} {
		for _, version := range versions {
			t.Run(document+" "+string(version), func(t *testing.T) {
				t.Parallel()
				newGuide(t, version).followAll(document, version)
			})
		}
	}
}

// TestClientsDocument_EveryExampleWorks follows docs/clients.md in front of the
// demo, and runs its Go program.
func TestClientsDocument_EveryExampleWorks(t *testing.T) {
	t.Parallel()
	g := newGuide(t, realviewer.V072)
	g.followAll("docs/clients.md", realviewer.V072)
	text, err := os.ReadFile(filepath.Join(g.dir, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?ms)^<!-- test: go -->\n```go\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(programs) != 1 {
		t.Fatalf("docs/clients.md has %d programs", len(programs))
	}
	folder := filepath.Join(g.dir, "program")
	program := strings.ReplaceAll(programs[0][1], "127.0.0.1:23310", g.server.GRPCAddr)
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "main.go"), []byte(program), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := g.run("go run ./program 20261123_172639_4eee0c")
	if err != nil || !strings.Contains(out, "60 images 7680") {
		t.Errorf("the program: %v\n%s", err, out)
	}
}

// followAll follows all blocks of a document that are for a generation.
func (g *guide) followAll(document string, version realviewer.Version) {
	g.t.Helper()
	g.document = document
	text, err := os.ReadFile(filepath.Join(g.dir, document))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, b := range readBlocks(string(text)) {
		if len(b.generations) == 0 || slices.Contains(b.generations, string(version[:3])) {
			g.follow(b)
		}
	}
}

// guide follows the README.
type guide struct {
	t        *testing.T
	dir      string // a fresh clone
	document string
	env      []string
	seeded   *realviewer.Seeded
	binary   *serverproc.Binary
	server   *serverproc.Process
}

func newGuide(t *testing.T, version realviewer.Version) *guide {
	t.Helper()
	g := &guide{t: t, dir: t.TempDir(), seeded: lab.Viewer(t, version)}
	if err := cloneTo(t.Context(), g.dir); err != nil {
		t.Fatal(err)
	}
	g.binary = serverproc.At(built(t, "server", g.dir, "./cmd/server"))
	search := []string{filepath.Dir(grpcurl(t)), pythonBin(t), os.Getenv("PATH")}
	g.env = append(toolEnv(),
		"RUN="+g.seeded.Manifest.Runs[realviewer.KeyBasic].RunID,
		"PATH="+strings.Join(search, string(os.PathListSeparator)),
	)
	t.Cleanup(func() {
		g.stopServer()
		if err := g.binary.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// toolEnv is for commands that need neither the race detector of this test nor
// the commit that a clone would have.
func toolEnv() []string { return append(os.Environ(), "GOFLAGS=-buildvcs=false") }

// building is held while something is built for a newcomer, or found built.
var building sync.Mutex

// built builds a program in a checkout, once for all guides, and returns where
// it is.
func built(t *testing.T, name, checkout string, args ...string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	dir, err := binary.Dir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "newcomer", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", path}, args...)...)
	cmd.Dir, cmd.Env = checkout, toolEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// grpcurl builds the one that is pinned.
func grpcurl(t *testing.T) string {
	t.Helper()
	return built(t, "grpcurl", root(), "-modfile=tools/grpcurl/go.mod", "github.com/fullstorydev/grpcurl/cmd/grpcurl")
}

// pythonBin is a virtual environment of the README's own, kept between runs.
func pythonBin(t *testing.T) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
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
		g.t.Errorf("%s:%d: a shell block without a test note", g.document, b.line)
	case strings.HasPrefix(b.note, "no, "):
	case b.note == "starts":
		g.start(b)
	default:
		out, err := g.run(b.commands)
		if fails := strings.HasPrefix(b.note, "fails"); (err != nil) != fails {
			g.t.Fatalf("%s:%d: %v, want failure: %v\n%s", g.document, b.line, err, fails, out)
		}
		if !strings.Contains(out, want) {
			g.t.Errorf("%s:%d: does not print %q:\n%s", g.document, b.line, want, out)
		}
	}
}

// start starts the server with the block's flags.
func (g *guide) start(b block) {
	g.t.Helper()
	flags, ok := strings.CutPrefix(strings.TrimSpace(b.commands), "go run ./cmd/server ")
	if !ok {
		g.t.Fatalf("%s:%d: does not start the server", g.document, b.line)
	}
	g.stopServer()
	flags = strings.ReplaceAll(flags, "http://127.0.0.1:23300", g.seeded.URL())
	var err error
	if g.server, err = g.binary.StartIn(g.t.Context(), g.dir, strings.Fields(flags)...); err != nil {
		g.t.Fatalf("%s:%d: %v", g.document, b.line, err)
	}
}

func (g *guide) stopServer() {
	if g.server == nil {
		return
	}
	if err := g.server.Stop(); err != nil {
		g.t.Errorf("stop the server: %v\n%s", err, g.server.Output())
	}
	g.server = nil
}

// run runs commands in the clone, with the server's real ports in place of the default
// ones, which may be in use on this machine.
func (g *guide) run(commands string) (string, error) {
	if g.server != nil {
		commands = strings.NewReplacer("127.0.0.1:23310", g.server.GRPCAddr, "127.0.0.1:23311", g.server.HTTPAddr).Replace(commands)
	}
	cmd := exec.CommandContext(g.t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = g.dir, g.env
	if g.server != nil {
		cmd.Env = append(slices.Clone(g.env), "RUNICORN_GRPC_ADDRESS="+g.server.GRPCAddr)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cloneTo copies what a clone of this checkout would have: only the files that Git
// tracks, in their current state.
func cloneTo(ctx context.Context, dir string) error {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached")
	list.Dir = root()
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the files that Git knows: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		from, to := filepath.Join(root(), name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // about to be removed
		} else if err != nil {
			return err
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, info.Mode().Perm())); err != nil {
			return err
		}
	}
	return nil
}
