package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

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
	protoregistry.GlobalFiles.RangeFilesByPackage("runicornapi.v1", func(file protoreflect.FileDescriptor) bool {
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
