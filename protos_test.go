package runicorngrpc

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProtocCompilesTheProtosForEveryLanguage runs each generator that protoc
// has built in over the whole folder at once. Debian 12's protoc is 3.21, the
// oldest that the folder must compile with.
func TestProtocCompilesTheProtosForEveryLanguage(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		if os.Getenv("RUNICORN_E2E") == "required" {
			t.Fatal("RUNICORN_E2E=required, and there is no protoc: install Debian's protobuf-compiler")
		}
		t.Skip("SKIPPED: there is no protoc; install Debian's protobuf-compiler to run this test")
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, Protos()); err != nil {
		t.Fatal(err)
	}
	files, err := protoFiles(Protos())
	if err != nil {
		t.Fatal(err)
	}
	for language, other := range map[string]string{
		"cpp": "", "csharp": "", "java": "", "objc": "", "php": "", "pyi": "", "python": "", "ruby": "",
		"kotlin": "java", // what it makes extends the Java classes
	} {
		t.Run(language, func(t *testing.T) {
			out := t.TempDir()
			args := []string{"-I", folder, "--" + language + "_out=" + out}
			if other != "" {
				args = append(args, "--"+other+"_out="+out)
			}
			text, err := exec.CommandContext(t.Context(), protoc, append(args, files...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("protoc: %v\n%s", err, text)
			}
			if made, err := filepath.Glob(filepath.Join(out, "*")); err != nil || len(made) == 0 {
				t.Errorf("protoc made nothing: %v", err)
			}
			if strings.Contains(string(text), "warning") {
				t.Errorf("protoc warns:\n%s", text)
			}
		})
	}
}

// TestProtosHaveNoCustomOptions reads the text: what a generator of another
// language does not know must not be in it.
func TestProtosHaveNoCustomOptions(t *testing.T) {
	files, err := protoFiles(Protos())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := fs.ReadFile(Protos(), path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			for _, unwanted := range []string{"buf/validate", "google/api/", "openapiv2", "debug_redact", "option (", "[(", "extend "} {
				if strings.Contains(code, unwanted) {
					t.Errorf("%s: %s", path, line)
				}
			}
		}
	}
}

// protoFiles lists the files of a tree.
func protoFiles(tree fs.FS) (files []string, err error) {
	err = fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}
