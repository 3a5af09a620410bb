package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
)

func TestProtosAreWrittenToAFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	for range 2 { // files of an earlier run are overwritten
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"protos", dir}, noEnv, &stdout, &stderr); code != exitOK || stderr.Len() != 0 {
			t.Fatalf("code %d: %s", code, stderr.String())
		}
		if !strings.Contains(stdout.String(), "protoc -I "+dir) {
			t.Errorf("it does not say how to compile:\n%s", stdout.String())
		}
	}
	err := fs.WalkDir(runicorngrpc.Protos(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, err = os.Stat(filepath.Join(dir, path))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestProtosWithABadArgumentIsAUsageError(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"protos", "protos a b", "protos --demo a", "--demo protos a"} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), noEnv, &bytes.Buffer{}, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%q: code %d, %s", args, code, stderr.String())
		}
	}
}

func TestProtosIntoAFileFails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"protos", file}, noEnv, &bytes.Buffer{}, &stderr); code != exitFailed || !strings.Contains(stderr.String(), file) {
		t.Errorf("code %d: %s", code, stderr.String())
	}
}
