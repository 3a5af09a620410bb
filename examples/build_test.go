package examples

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// language is a client in one language: its folder, the programs that it needs, the
// commands that build it (in a copy of its folder, as in the README) and the command
// that calls it (from there). A language with full runs only if all are requested,
// because its first build takes minutes.
type language struct {
	name  string
	full  bool
	needs []string
	build [][]string
	call  []string
}

var languages = []language{
	{name: "go", call: []string{"./example"}},
	{
		name: "python", needs: []string{"python3"},
		// A folder of packages can be moved into the cache, a venv cannot.
		build: [][]string{
			{"python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", "site", "-r", "requirements.txt"},
			{"env", "PYTHONPATH=site", "python3", "generate.py"},
		},
		call: []string{"env", "PYTHONPATH=site", "python3", "example.py"},
	},
	{
		name: "node", needs: []string{"node", "npm"},
		build: [][]string{{"npm", "ci", "--no-audit", "--no-fund"}, {"npm", "run", "build"}},
		call:  []string{"node", "build/src/main.js"},
	},
	{
		name: "java", needs: []string{"java", "javac", "mvn"},
		build: [][]string{{"mvn", "--quiet", "--batch-mode", "--no-transfer-progress", "package"}},
		call:  []string{"java", "-jar", "target/example.jar"},
	},
	{
		name: "rust", full: true, needs: []string{"cargo", "protoc"},
		// The crates are built once, in a folder next to the cached trees.
		build: [][]string{{"cargo", "install", "--quiet", "--debug", "--locked", "--jobs=2", "--no-track", "--path=.", "--root=build", "--target-dir=../../../rust-target"}},
		call:  []string{"build/bin/example"},
	},
	{
		name: "cpp", full: true, needs: []string{"g++", "make", "pkg-config", "protoc"},
		build: [][]string{{"make", "--jobs=2"}},
		call:  []string{"./example"},
	},
}

// isWanted reports whether a language is part of this run. make full sets the variable.
func (l language) isWanted() bool { return !l.full || os.Getenv("RUNICORN_EXAMPLES") == "all" }

// generated are the folders that the tools create; a fresh clone has none.
var generated = map[string]bool{
	".venv": true, "__pycache__": true, "build": true, "gen": true, "node_modules": true, "site": true, "stubs": true, "target": true,
}

// client is a built example.
type client struct {
	language
	dir string
}

// command returns a call of the client.
func (c client) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.call[0], append(c.call[1:len(c.call):len(c.call)], args...)...)
	cmd.Dir = c.dir
	return cmd
}

// clients builds all examples. One whose tools are missing is skipped with a notice, or
// fails the test, depending on the mode.
func clients(t *testing.T) []client {
	t.Helper()
	var all []client
	builds := startBuilds()
	for _, l := range languages {
		t.Run("build "+l.name, func(t *testing.T) {
			if !l.isWanted() {
				t.Skip("set RUNICORN_EXAMPLES=all for all languages, as make full does")
			}
			dir, err := builds[l.name]()
			if err != nil {
				giveUp(t, err)
			}
			all = append(all, client{l, dir})
		})
	}
	return all
}

// building has the builds that startBuilds has started; TestMain waits for them.
var building sync.WaitGroup

// startBuilds builds all clients concurrently, once per process: some builds wait for
// registries while others compile.
var startBuilds = sync.OnceValue(func() map[string]func() (string, error) {
	builds := map[string]func() (string, error){}
	for _, l := range languages {
		if !l.isWanted() {
			continue
		}
		build := sync.OnceValues(l.built)
		builds[l.name] = build
		building.Go(func() { _, _ = build() }) // the tests that need the client get the error
	}
	return builds
})

var goExample = sync.OnceValue(func() error {
	return runIn("go", "go", "build", "-o", filepath.Join(workDir(), "example"), ".")
})

// built returns the folder of the built client. Builds of languages other than Go are
// cached in the user's cache under a hash of their inputs, because javac alone takes most
// of a minute.
func (l language) built() (string, error) {
	if l.name == "go" {
		return workDir(), goExample() // the build cache of Go does the same
	}
	if mode, err := realviewer.ModeFromEnv(); err != nil || mode == realviewer.ModeOff {
		return "", errors.Join(realviewer.ErrOff, err) // its tools would use their registries
	}
	for _, tool := range l.needs {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err
		}
	}
	key, err := l.key()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "runicorn-grpc", "examples")
	final := filepath.Join(parent, l.name+"-"+key)
	inside := filepath.Join("examples", l.name)
	if _, err := os.Stat(final); err == nil {
		return filepath.Join(final, inside), nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	tree, err := os.MkdirTemp(parent, "building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	if err := errors.Join(copySources(l.name, filepath.Join(tree, inside)), os.CopyFS(filepath.Join(tree, "protos"), os.DirFS(protos))); err != nil {
		return "", err
	}
	for _, step := range l.build {
		if err := runIn(filepath.Join(tree, inside), step...); err != nil {
			return "", err
		}
	}
	// Another process may have been faster; its result is the same.
	if err := os.Rename(tree, final); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return filepath.Join(final, inside), nil
}

// protos returns the files that "runicorn-grpc protos" writes.
const protos = "../gen/protos"

// key returns a hash of the sources, the protos and the tools.
func (l language) key() (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, l.build)
	for _, tool := range l.needs {
		out, err := exec.Command(tool, "--version").Output()
		if err != nil {
			return "", fmt.Errorf("ask %s for its version: %w", tool, err)
		}
		fmt.Fprintln(sum, string(out))
	}
	if err := errors.Join(hashTree(sum, l.name), hashTree(sum, protos)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// copySources copies an example without generated folders.
func copySources(from, to string) error {
	return eachSource(from, func(path string, text []byte) error {
		target := filepath.Join(to, path)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, text, 0o644))
	})
}

func hashTree(sum hash.Hash, dir string) error {
	return eachSource(dir, func(path string, text []byte) error {
		fmt.Fprintln(sum, path, len(text))
		_, err := sum.Write(text)
		return err
	})
}

// eachSource visits the files below a folder in order, except generated ones.
func eachSource(dir string, visit func(path string, text []byte) error) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && generated[entry.Name()]:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		return visit(path, text)
	})
}

// runIn runs a command in a folder.
func runIn(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	// The flags of this test must not affect the tools.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// TestREADME_HasTheCommands checks that the README has the commands that the tests run.
func TestREADME_HasTheCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"go run ./cmd/server protos protos", "go run . list", "-r requirements.txt", "generate.py", "npm ci", "npm run build",
		"mvn", "java -jar target/example.jar", "cargo run", "make && ./example",
		"--cut-after", "--points",
	} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}
