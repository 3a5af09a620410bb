package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
)

// protosConfig is the command line of the subcommand protos.
type protosConfig struct {
	Help helpFlag `short:"h" help:"Print this manual."`
	Dir  string   `arg:"" help:"Folder to write to. It is created if needed. Files of the same names are overwritten, others are kept."`
}

// writeProtos writes the protos for other languages, and says how to compile
// them.
func writeProtos(args []string, stdout io.Writer) error {
	c := &protosConfig{}
	parser, err := kong.New(c,
		kong.Name(program+" protos"),
		kong.Description("Writes the protos for the code generators of other languages, with all that they import."),
		kong.Writers(stdout, stdout),
		kong.NoDefaultHelp(),
	)
	if err != nil {
		return fmt.Errorf("define the arguments: %w", err)
	}
	if _, err := parser.Parse(args); errors.Is(err, errHelpPrinted) {
		return err
	} else if err != nil {
		return &usageError{err}
	}
	files, count := runicorngrpc.Protos(), 0
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
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
	_, err = fmt.Fprintf(stdout, `%d files written to %[2]s. To compile them, here for Python:
  mkdir -p stubs
  protoc -I %[2]s --python_out=stubs $(find %[2]s -name '*.proto' -not -path '*/google/protobuf/*')
`, count, c.Dir)
	return err
}
