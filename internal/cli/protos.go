package cli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
)

type protosCommand struct {
	Dir string `arg:"" help:"Folder to write to. It is created if needed. Files of the same names are overwritten, others are kept."`
}

// Help is the end of the manual.
func (protosCommand) Help() string {
	return "The files include all imports.\n\nExample: runicorn-grpc protos protos"
}

// Run writes the protos, and prints how to compile them.
func (c *protosCommand) Run(a *app) error {
	files, count := runicorngrpc.Protos(), 0
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		to := filepath.Join(c.Dir, filepath.FromSlash(path))
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(to, 0o755) //nolint:gosec // protos are no secret
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		count++
		return os.WriteFile(to, text, 0o644) //nolint:gosec // protos are no secret
	})
	if err != nil {
		return fmt.Errorf("write the protos: %w", err)
	}
	if a.JSON {
		return json.NewEncoder(a.out).Encode(map[string]any{"path": c.Dir, "file_count": count})
	}
	_, err = fmt.Fprintf(a.out, `%d files written to %[2]s. To compile them, here for Python:
  mkdir -p stubs
  protoc -I %[2]s --python_out=stubs $(find %[2]s -name '*.proto' -not -path '*/google/protobuf/*')
`, count, c.Dir)
	return err
}
