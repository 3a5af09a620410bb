package compat

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// serveHandler starts a handler and returns its URL.
func serveHandler(tb testing.TB, h http.Handler) string {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return srv.URL
}

func fileHeader() *runicornapiv1.ExportExperimentResponse {
	return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Header{
		Header: &runicornapiv1.FileHeader{FileName: "r.csv", ContentType: "text/csv"},
	}}
}

func chunk(text string) *runicornapiv1.ExportExperimentResponse {
	return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Chunk{Chunk: []byte(text)}}
}

func fileTrailer(size int64, missing ...string) *runicornapiv1.ExportExperimentResponse {
	return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{
		Trailer: &runicornapiv1.FileTrailer{SizeBytes: size, MissingFiles: missing},
	}}
}

func TestAnExportIsTheWholeFileOrAnError(t *testing.T) {
	t.Parallel()
	refusal := failing(codes.NotFound, "RUN_NOT_FOUND", "no such run")
	for name, tt := range map[string]struct {
		parts  []*runicornapiv1.ExportExperimentResponse
		end    error
		status int
		body   string
		whole  bool
	}{
		"a file":                     {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), chunk("step,"), chunk("loss"), fileTrailer(9)}, nil, 200, "step,loss", true},
		"an empty file":              {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), fileTrailer(0)}, nil, 200, "", true},
		"an error at once":           {nil, refusal, 404, "", true},
		"an error before a byte":     {[]*runicornapiv1.ExportExperimentResponse{fileHeader()}, refusal, 404, "", true},
		"nothing at all":             {nil, nil, 520, "", true},
		"no header":                  {[]*runicornapiv1.ExportExperimentResponse{chunk("x")}, nil, 520, "", true},
		"an error in the middle":     {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), chunk("step")}, refusal, 200, "", false},
		"no trailer":                 {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), chunk("step")}, nil, 200, "", false},
		"a trailer of another size":  {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), chunk("step"), fileTrailer(9)}, nil, 200, "", false},
		"a file that lacks files":    {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), chunk("x"), fileTrailer(1, "a.png")}, nil, 200, "x", true},
		"more after the trailer":     {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), fileTrailer(0), chunk("x")}, nil, 200, "", false},
		"an error after the trailer": {[]*runicornapiv1.ExportExperimentResponse{fileHeader(), fileTrailer(0)}, refusal, 200, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked proto.Message
			b := &backend{}
			b.export = func(req *runicornapiv1.ExportExperimentRequest, stream grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error {
				asked = req
				for _, part := range tt.parts {
					if err := stream.Send(part); err != nil {
						return err
					}
				}
				return tt.end
			}
			got, err := send(t, "POST", b.serve(t)+"/api/export", `{"run_id": "r", "format": "csv", "include_media": true}`)
			if got.StatusCode != tt.status || (err == nil) != tt.whole {
				t.Fatalf("status %d and error %v: %s", got.StatusCode, err, got.body)
			}
			if tt.status == 200 && tt.whole && (got.body != tt.body || got.Header.Get("Content-Type") != "text/csv") {
				t.Errorf("%q of type %s", got.body, got.Header.Get("Content-Type"))
			}
			want := &runicornapiv1.ExportExperimentRequest{RunId: "r", Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, IncludeMedia: true}
			if diff := cmp.Diff(proto.Message(want), asked, protocmp.Transform()); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
		})
	}
}

// statusLog is a ResponseWriter that records the statuses.
type statusLog struct {
	http.ResponseWriter
	mu       sync.Mutex
	statuses []int
}

func (l *statusLog) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses = append(l.statuses, status)
}

func TestWaitingCallersGetContinueResponses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		proto string
		wait  time.Duration
		want  []int
	}{
		"not if the answer comes at once": {"HTTP/1.1", time.Second, nil},
		"every two seconds":               {"HTTP/1.1", 7 * time.Second, []int{100, 100, 100}},
		"not by HTTP/1.0":                 {"HTTP/1.0", time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := httptest.NewRequest(http.MethodPost, "/api/remote/connect", nil)
				r.Proto = tt.proto
				r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(tt.proto)
				log := &statusLog{}
				release := sendContinue(log, r)
				<-time.After(tt.wait)
				release()
				<-time.After(time.Minute) // nothing may come after the release
				if diff := cmp.Diff(tt.want, log.statuses); diff != "" {
					t.Errorf("statuses (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/api/runs/a", "/api/artifacts/m:v1/versions", "/api/artifacts//versions", "/api/experiments/viewers/v/experiments/r/artifacts"} {
		f.Add("GET", seed, "limit=1")
	}
	f.Fuzz(func(t *testing.T, method, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, query
		rt, in, err := match(r)
		if err == nil && (rt.method != method || rt.prefix+in.id+rt.suffix != path) {
			t.Fatalf("%s %s is %v with %q", method, path, rt, in.id)
		}
	})
}

// deadlines is an answer that notes the deadlines of its writes.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// parts is a stream of parts.
type parts []*runicornapiv1.ExportExperimentResponse

func (p *parts) Recv() (*runicornapiv1.ExportExperimentResponse, error) {
	if len(*p) == 0 {
		return nil, io.EOF
	}
	next := (*p)[0]
	*p = (*p)[1:]
	return next, nil
}

func TestAnExportThatIsNotReadIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		f := &file{stream: &parts{chunk("b"), fileTrailer(2)}, header: fileHeader().GetHeader(), part: chunk("a")}
		if err := f.write(w); err != nil {
			t.Fatal(err)
		}
		stalled := time.Now().Add(writeStall)
		if diff := cmp.Diff([]time.Time{stalled, stalled, {}}, w.set); diff != "" {
			t.Errorf("deadlines (-want +got):\n%s", diff)
		}
	})
}
