package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// deaths is how often a Viewer dies in a test: of each way to die, so often.
const (
	deaths = 20
	kills  = 10 // of processes that serve an export, which is slow
)

// seeded returns numbers that can be had again: the seed is in the log.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// longRuns is a Viewer with runs that are long enough to be cut anywhere.
func longRuns(t *testing.T, runs, rows int) (v *realviewer.Viewer, runIDs []string) {
	t.Helper()
	install, storage := realviewer.Require(t, realviewer.V060), t.TempDir()
	for range runs {
		run, err := realviewer.WriteRun(storage, realviewer.V060, realviewer.RunSpec{
			Project: "break", Name: "long", Lines: realviewer.Curve(time.Now(), rows, "loss", "a", "b", "c"),
		})
		if err != nil {
			t.Fatal(err)
		}
		runIDs = append(runIDs, run.RunID)
	}
	return realviewer.MustStart(t, install, realviewer.Options{Storage: storage}), runIDs
}

// awaitRun returns when a server that has lost its Viewer serves a run again: it retries
// a Viewer that refuses connections only once per second.
func awaitRun(t *testing.T, s *server, runID string) {
	t.Helper()
	for {
		_, err := s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: runID})
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(err)
		}
	}
}

// narrow is a client with small buffers, so that the bytes that it has read show the
// progress of the server.
func narrow(t *testing.T, s *server) runicornapiv1.ExperimentServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return runicornapiv1.NewExperimentServiceClient(conn)
}

// countExport receives an export, calls reached once after a number of bytes, and returns
// the number of received bytes and the error.
func countExport(t *testing.T, client runicornapiv1.ExperimentServiceClient, req *runicornapiv1.ExportExperimentRequest, stop int64, reached func()) (size int64, isWhole bool, err error) {
	t.Helper()
	stream, err := client.ExportExperiment(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	count := &offsetTrigger{offset: stop, reached: reached}
	_, trailer, err := receiveFile(t, stream, count)
	return count.size, trailer != nil, err
}

// wantCut fails the test unless an export has ended as one whose Viewer died.
func wantCut(t *testing.T, what string, isWhole bool, err error) {
	t.Helper()
	if c := status.Code(err); isWhole || c != codes.Unavailable && c != codes.DataLoss {
		t.Errorf("%s: ends with %v, trailer %v", what, err, isWhole)
	}
}

// streamed are the forms that are sent while they are read.
var streamed = []*runicornapiv1.ExportExperimentRequest{
	{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, Layout: runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL},
	{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW, Layout: runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET, Layout: runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG},
	{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP},
}

// TestExportExperiment_ItsViewerIsKilledAtRandomOffsets kills a real Viewer
// while a file is on its way. What the server reads ahead is a part of 4 MiB of
// the event file's 18, so the offsets are in the first two fifths of the file.
func TestExportExperiment_ItsViewerIsKilledAtRandomOffsets(t *testing.T) {
	t.Parallel()
	v, runIDs := longRuns(t, 1, 90_000)
	s := mustStart(t, "--viewer="+v.URL())
	client, random := narrow(t, s), seeded(t)
	for _, req := range streamed {
		req.RunId = runIDs[0]
		whole, isWhole, err := countExport(t, client, req, 0, nil)
		if err != nil || !isWhole {
			t.Fatalf("%v, undisturbed: %v", req.GetFormat(), err)
		}
		for range kills / len(streamed) {
			stop, killed := random.Int64N(whole*2/5), false
			got, isWhole, err := countExport(t, client, req, stop, func() {
				killed = true
				if err := v.Kill(); err != nil {
					t.Error(err)
				}
			})
			if !killed {
				t.Fatalf("%v: it ended before %d of %d bytes: %v", req.GetFormat(), stop, whole, err)
			}
			wantCut(t, req.GetFormat().String(), isWhole, err)
			t.Logf("%v: killed at %d of %d bytes, ended after %d: %v", req.GetFormat(), stop, whole, got, status.Code(err))
			if err := v.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			awaitRun(t, s, runIDs[0])
		}
	}
}

// TestExportExperiment_ItsViewerDiesAtRandomOffsetsOfTheEventFile truncates the data of
// the Viewer, which also affects the formats that are made before their first byte is
// sent. Each attempt reads another run, which the server has not cached.
func TestExportExperiment_ItsViewerDiesAtRandomOffsetsOfTheEventFile(t *testing.T) {
	t.Parallel()
	const rows, size = 30_000, 5 << 20 // the event file has 5.6 MiB
	v, runIDs := longRuns(t, deaths, rows)
	front := newMortal(t, v.URL())
	s := mustStart(t, "--viewer=http://"+front.addr)
	random := seeded(t)
	for i, runID := range runIDs {
		format := runicornapiv1.ExportFormat(1 + i%(len(runicornapiv1.ExportFormat_name)-1))
		awaitRun(t, s, runID)
		front.live(t, 16<<10+random.Int64N(size))
		req := &runicornapiv1.ExportExperimentRequest{RunId: runID, Format: format}
		got, isWhole, err := countExport(t, s.experiments, req, 0, nil)
		wantCut(t, format.String(), isWhole, err)
		if !front.isDead() {
			t.Fatalf("%v: it never read so far: %v", format, err)
		}
		t.Logf("%v: %d bytes had come: %v", format, got, status.Code(err))
		front.live(t, 1<<40)
	}
	awaitRun(t, s, runIDs[0])
	for format := 1; format < len(runicornapiv1.ExportFormat_name); format++ {
		req := &runicornapiv1.ExportExperimentRequest{RunId: runIDs[format], Format: runicornapiv1.ExportFormat(format)}
		if _, isWhole, err := countExport(t, s.experiments, req, 0, nil); err != nil || !isWhole {
			t.Errorf("%v after all that: %v", req.GetFormat(), err)
		}
	}
}
