package client

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type exportServer = grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]

// content is the file of the tests.
var content = strings.Repeat("0123456789", 10)

func sendHeader(s exportServer, etag string, offset int64) error {
	return s.Send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Header{Header: &runicornapiv1.FileHeader{
		FileName: "../name.csv", ContentType: "text/csv", SizeBytes: new(int64(len(content))), Etag: etag, Offset: offset, Limitations: []string{"no tags"},
	}}})
}

func sendChunk(s exportServer, text string) error {
	return s.Send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Chunk{Chunk: []byte(text)}})
}

func sendTrailer(s exportServer, sent string) error {
	sum := sha256.Sum256([]byte(sent))
	return s.Send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{Trailer: &runicornapiv1.FileTrailer{
		SizeBytes: int64(len(content)), Sha256: hex.EncodeToString(sum[:]), Limitations: []string{"long lines"},
	}}})
}

// sendFrom sends ten bytes from an offset, or all the rest and the trailer.
func sendFrom(s exportServer, etag string, offset int64, all bool) error {
	rest := content[offset:]
	if !all {
		return errors.Join(sendHeader(s, etag, offset), sendChunk(s, rest[:10]), status.Error(codes.Unavailable, "gone"))
	}
	return errors.Join(sendHeader(s, etag, offset), sendChunk(s, rest[:5]), sendChunk(s, rest[5:]), sendTrailer(s, rest))
}

func TestExport_GoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	f := &fake{export: func(call int, req *runicornapiv1.ExportExperimentRequest, s exportServer) error {
		if want := int64(call-1) * 10; req.GetOffset() != want || (req.GetIfMatch() == "e") != (want > 0) {
			t.Errorf("call %d: %v", call, req)
		}
		return sendFrom(s, "e", req.GetOffset(), call == 8) // more failures than consecutive attempts
	}}
	dir := t.TempDir()
	var last [2]int64
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		file, err := c.Export(t.Context(), &runicornapiv1.ExportExperimentRequest{RunId: "r"}, dir, func(done, total int64) { last = [2]int64{done, total} })
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(content))
		if file.Path != filepath.Join(dir, "name.csv") || file.SizeBytes != 100 || file.SHA256 != hex.EncodeToString(sum[:]) ||
			file.ContentType != "text/csv" || strings.Join(file.Limitations, ", ") != "no tags, long lines" {
			t.Errorf("file %+v", file)
		}
	})
	if last != [2]int64{100, 100} {
		t.Errorf("progress ended at %v", last)
	}
	wantFolder(t, dir, map[string]string{"name.csv": content})
}

func TestExport_StartsAgain(t *testing.T) {
	t.Parallel()
	for name, export := range map[string]func(call int, req *runicornapiv1.ExportExperimentRequest, s exportServer) error{
		"where the file cannot be resumed": func(call int, req *runicornapiv1.ExportExperimentRequest, s exportServer) error {
			if req.GetOffset() != 0 || req.GetIfMatch() != "" {
				t.Errorf("call %d: %v", call, req)
			}
			return sendFrom(s, "", 0, call == 3)
		},
		"where the file has changed": func(call int, req *runicornapiv1.ExportExperimentRequest, s exportServer) error {
			if call == 2 {
				return ours(codes.Aborted, "ETAG_MISMATCH")
			}
			if req.GetOffset() != 0 || req.GetIfMatch() != "" {
				t.Errorf("call %d: %v", call, req)
			}
			return sendFrom(s, "e", 0, call == 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := &fake{export: export}
			withFake(t, f, func(t *testing.T, c *Client) {
				t.Helper()
				if _, err := c.Export(t.Context(), &runicornapiv1.ExportExperimentRequest{RunId: "r"}, filepath.Join(dir, "x"), nil); err != nil {
					t.Error(err)
				}
			})
			wantFolder(t, dir, map[string]string{"x": content})
		})
	}
}

func TestExport_LeavesNothingOfWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	for name, export := range map[string]func(s exportServer) error{
		"no trailer": func(s exportServer) error { return errors.Join(sendHeader(s, "e", 0), sendChunk(s, content)) },
		"no header":  func(s exportServer) error { return errors.Join(sendChunk(s, content), sendTrailer(s, content)) },
		"another SHA-256": func(s exportServer) error {
			return errors.Join(sendHeader(s, "e", 0), sendChunk(s, content), sendTrailer(s, "x"))
		},
		"another size": func(s exportServer) error {
			return errors.Join(sendHeader(s, "e", 0), sendChunk(s, "x"), sendTrailer(s, "x"))
		},
		"another offset": func(s exportServer) error { return sendHeader(s, "e", 5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := &fake{export: func(_ int, _ *runicornapiv1.ExportExperimentRequest, s exportServer) error { return export(s) }}
			withFake(t, f, func(t *testing.T, c *Client) {
				t.Helper()
				file, err := c.Export(t.Context(), &runicornapiv1.ExportExperimentRequest{RunId: "r"}, filepath.Join(dir, "x"), nil)
				if !IsIncomplete(err) || file != nil || f.calls != 1 {
					t.Errorf("%d calls: %v, %v", f.calls, file, err)
				}
			})
			wantFolder(t, dir, map[string]string{})
		})
	}
}

func wantFolder(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil || string(text) != want[entry.Name()] {
			t.Errorf("%s holds %q: %v", entry.Name(), text, err)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("the folder holds %v, want %d files", entries, len(want))
	}
}
