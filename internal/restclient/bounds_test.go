package restclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// manyTimes returns a document that repeats one value.
func manyTimes(before, value, after string, n int) []byte {
	return []byte(before + strings.Repeat(value+",", n-1) + value + after)
}

// Some values are small on the wire and large in memory.
func TestClient_EnforcesMemoryLimits(t *testing.T) {
	const run = "20261123_151105_e4a55c"
	ref := VersionRef{Name: "model", Version: 1}
	for _, tt := range []struct {
		name, version, route string
		body                 []byte
		read                 func(context.Context, *Client) error
	}{
		{"empty datasets", "0.6.0", "/api/runs/" + run + "/assets", manyTimes(`{"assets":{"datasets":[`, "{}", "]}}", 2_000_000), func(ctx context.Context, c *Client) error {
			_, err := c.Assets(ctx, run)
			return err
		}},
		{"empty runs", "0.7.2", "/api/runs", manyTimes("[", "{}", "]", 10<<20), func(ctx context.Context, c *Client) error {
			_, err := c.Runs(ctx)
			return err
		}},
		{"runs with empty tags", "0.7.2", "/api/runs", manyTimes(`[{"id":"x","tags":[`, `0`, "]}]", 12<<20), func(ctx context.Context, c *Client) error {
			_, err := c.Runs(ctx)
			return err
		}},
		{"empty deleted runs", "0.5.3", "/api/recycle-bin", manyTimes(`{"deleted_runs":[`, "{}", "]}", 4<<20), func(ctx context.Context, c *Client) error {
			_, err := c.RecycleBin(ctx)
			return err
		}},
		{"a summary of short names", "0.7.2", "/api/runs/" + run, manyTimes(`{"summary":{`, `"a":1`, "}}", 3<<20), func(ctx context.Context, c *Client) error {
			_, err := c.GetRun(ctx, run)
			return err
		}},
		{"an environment of texts", "0.5.3", "/api/environment/" + run, manyTimes(`{"environment":{`, `"a":""`, "}}", 3<<20), func(ctx context.Context, c *Client) error {
			_, err := c.GetEnvironment(ctx, run)
			return err
		}},
		{"empty artifacts", "0.5.3", "/api/artifacts", manyTimes("[", "{}", "]", 4<<20), func(ctx context.Context, c *Client) error {
			_, _, err := c.Artifacts(ctx, "")
			return err
		}},
		{"aliases of an artifact", "0.5.3", "/api/artifacts", manyTimes(`[{"aliases":{`, `"a":1`, "}}]", 3<<20), func(ctx context.Context, c *Client) error {
			_, _, err := c.Artifacts(ctx, "")
			return err
		}},
		{"empty files", "0.5.3", "/api/artifacts/model/v1/files", manyTimes(`{"files":[`, "{}", "]}", 4<<20), func(ctx context.Context, c *Client) error {
			_, err := c.ArtifactFiles(ctx, ref)
			return err
		}},
		{"empty sessions", "0.6.0", "/api/remote/viewer/sessions", manyTimes(`{"sessions":[`, "{}", "]}", 4<<20), func(ctx context.Context, c *Client) error {
			_, err := c.Sessions(ctx)
			return err
		}},
		{"a folder with empty entries", "0.6.0", "/api/remote/fs/list", manyTimes(`{"items":[`, "{}", "]}", 4<<20), func(ctx context.Context, c *Client) error {
			_, err := c.ListDirectory(ctx, "me@gpu:22", "/x")
			return err
		}},
		{"empty routes", "0.6.0", "/openapi.json", manyTimes(`{"paths":{`, `"a":{}`, "}}", 2<<20), func(ctx context.Context, c *Client) error {
			_, err := c.probe(ctx)
			return err
		}},
		{"a row of short names", "0.5.3", "/api/runs/" + run + "/metrics_step", manyTimes(`{"rows":[{"global_step":1,`, `"a":1`, "}]}", 2<<20), func(ctx context.Context, c *Client) error {
			_, err := c.Table(ctx, run, func(*eventlog.Row) error { return nil }, nil)
			return err
		}},
		{"columns without names", "0.5.3", "/api/runs/" + run + "/metrics_step", manyTimes(`{"columns":[`, `""`, "]}", 4<<20), func(ctx context.Context, c *Client) error {
			_, err := c.Table(ctx, run, func(*eventlog.Row) error { return nil }, nil)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, tt.version)
			c := v.client(t)
			if tt.route != "/openapi.json" {
				if _, err := c.Capabilities(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			v.on("GET "+tt.route, answer(200, "application/json", tt.body))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := tt.read(t.Context(), c)
			runtime.ReadMemStats(&after)
			if err != nil {
				wantKind(t, err, KindTooLarge)
			}
			if took := int64(after.TotalAlloc - before.TotalAlloc); took > 4*maxDecoded {
				t.Errorf("%d MiB of JSON use %d MiB of memory: %v", len(tt.body)>>20, took>>20, err)
			}
		})
	}
}

func TestClient_DecodesLargeAnswersOfRealViewers(t *testing.T) {
	run := bytes.TrimSpace(fixture(t, "0.7.2", "runs_list"))
	run = append(bytes.TrimSuffix(run, []byte("]")), ',')
	v := newViewer(t, "0.7.2")
	body := bytes.Repeat(bytes.TrimPrefix(run, []byte("[")), 30_000_000/len(run))
	v.on("GET /api/runs", answer(200, "application/json", append(append([]byte("["), body...), "{}]"...)))
	list, err := v.client(t).Runs(t.Context())
	if err != nil || len(list.Runs) < 80_000 {
		t.Fatalf("got %v", err)
	}
}

func TestReadFile_ReadsAtMostTheRequestedBytes(t *testing.T) {
	const asked = 64 << 10
	endless := strings.Repeat("x", 4<<20)
	for _, tt := range []struct {
		name, contentRange string
		status             int
		want               int // bytes; -1 is an error
	}{
		{"a range of another length", "bytes 10-1073741833/1073741834", http.StatusPartialContent, -1},
		{"a range followed by more bytes", "bytes 10-65545/1073741834", http.StatusPartialContent, asked},
		{"a whole file", "", http.StatusOK, asked + 10},
		{"a range shorter than announced", "bytes 10-65545/1073741834", 0, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on("GET /api/runs/x", jsonAnswer(`{"id":"x","run_dir":"/s/x"}`))
			v.on("GET /api/runs/x/assets/download", func(w http.ResponseWriter, _ *http.Request) {
				body := endless
				if tt.contentRange != "" {
					w.Header().Set("Content-Range", tt.contentRange)
				}
				if tt.status == 0 {
					tt.status, body = http.StatusPartialContent, "xx"
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, body) // the client may disconnect
			})
			part, err := v.client(t).ReadFile(t.Context(), "x", FileEvents, 10, asked)
			if err == nil {
				var n int64
				n, err = io.Copy(io.Discard, part)
				if closeErr := part.Close(); closeErr != nil {
					t.Error(closeErr)
				}
				if err == nil && int(n) != tt.want {
					t.Errorf("read %d bytes", n)
				}
			}
			if (err != nil) != (tt.want < 0) {
				t.Errorf("got %v", err)
			}
		})
	}
}
