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

// language is a client in one language: its folder, the programs that it
// needs, how it is built (in a copy of its folder, as its README says) and how
// it is called (from there).
type language struct {
	name  string
	needs []string
	build [][]string
	call  []string
}

var languages = []language{
	{name: "go", call: []string{"./example"}},
	{
		name: "python", needs: []string{"python3"},
		// A venv cannot be moved into the cache, a folder of packages can.
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
}

// generated are the folders in which the tools work; a fresh clone has none.
var generated = map[string]bool{
	".venv": true, "__pycache__": true, "build": true, "gen": true, "node_modules": true, "site": true, "stubs": true, "target": true,
}

// client is an example that was built.
type client struct {
	language
	dir string
}

// command is a call of the client.
func (c client) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.call[0], append(c.call[1:len(c.call):len(c.call)], args...)...)
	cmd.Dir = c.dir
	return cmd
}

// clients builds all examples. One whose tools are missing is left out, loudly,
// or fails the test, as the mode says.
func clients(t *testing.T) []client {
	t.Helper()
	var all []client
	builds := startBuilds()
	for _, l := range languages {
		t.Run("build "+l.name, func(t *testing.T) {
			dir, err := builds[l.name]()
			if err != nil {
				giveUp(t, err)
			}
			all = append(all, client{l, dir})
		})
	}
	return all
}

// building is the builds that startBuilds has started; TestMain waits for them.
var building sync.WaitGroup

// startBuilds builds all clients side by side, once per process: registries and
// compilers of different languages wait for different things.
var startBuilds = sync.OnceValue(func() map[string]func() (string, error) {
	builds := map[string]func() (string, error){}
	for _, l := range languages {
		build := sync.OnceValues(l.built)
		builds[l.name] = build
		building.Go(func() { _, _ = build() }) // whoever needs the client gets the error
	}
	return builds
})

var goExample = sync.OnceValue(func() error {
	return runIn("go", "go", "build", "-o", filepath.Join(workDir(), "example"), ".")
})

// built returns where the client lies built. What the tools of other languages
// make is kept in the user's cache, under a hash of all that goes in: javac
// alone takes most of a minute.
func (l language) built() (string, error) {
	if l.name == "go" {
		return workDir(), goExample() // the build cache of Go does the same
	}
	if mode, err := realviewer.ModeFromEnv(); err != nil || mode == realviewer.ModeOff {
		return "", errors.Join(realviewer.ErrOff, err) // its tools would ask their registries
	}
	for _, tool := range l.needs {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err
		}
	}
	protos, err := exportProtos()
	if err != nil {
		return "", err
	}
	key, err := l.key(protos)
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
	// Another process may have been faster; what it made is the same.
	if err := os.Rename(tree, final); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return filepath.Join(final, inside), nil
}

// key is a hash of the sources, the protos and the tools.
func (l language) key(protos string) (string, error) {
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

// exportProtos makes the self-contained protos that the READMEs speak of, in a
// copy, since other tests read the checkout.
var exportProtos = sync.OnceValues(func() (string, error) {
	tree := filepath.Join(workDir(), "tree")
	tools, err := filepath.Abs("../tools")
	if err != nil {
		return "", err
	}
	config, err := os.ReadFile("../buf.yaml")
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.CopyFS(filepath.Join(tree, "proto"), os.DirFS("../proto")), os.WriteFile(filepath.Join(tree, "buf.yaml"), config, 0o644)); err != nil {
		return "", err
	}
	out := filepath.Join(tree, "protos")
	return out, errors.Join(
		runIn("..", "go", "-C", "tools/proto", "run", "./deps", filepath.Join(tree, ".protodeps")),
		runIn("..", "go", "tool", "-modfile="+filepath.Join(tools, "buf", "go.mod"), "buf", "export", tree, "-o", out),
	)
})

// copySources copies an example without what its tools made.
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

// eachSource visits the files below a folder in order, but for generated ones.
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
	// Tools run as they are, not with the flags of this test.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// TestREADME_HasTheCommands compares the README of each example with what the
// tests run.
func TestREADME_HasTheCommands(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"go generate .", "go run . list", "-r requirements.txt", "generate.py", "npm ci", "npm run build", "mvn", "java -jar target/example.jar",
		"--cut-after", "--points",
	} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}
