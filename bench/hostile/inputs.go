package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

const (
	token = "a-token-that-nobody-can-guess"
	// hold is how long callers keep open what they have opened.
	hold = 12 * time.Second
)

func withToken(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

const (
	findBest = "/runicornapi.v1.MetricService/FindBestExperiment"
	watch    = "/grpc.health.v1.Health/Watch"
)

var inputs = []input{
	{"B1", "10,000 metric names: GetMetrics, StreamMetrics merged, JSON export", nil, func(ctx context.Context, t *trial) string {
		started := time.Now()
		_, err := t.Metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{RunId: t.hostile.names, Last: new(int32(1))})
		took := time.Since(started)
		return fmt.Sprintf("GetMetrics %s in %.1f s; StreamMetrics %s; export %s", outcome(err), took.Seconds(),
			t.streamAll(ctx, t.hostile.names, runicornapiv1.StreamOrder_STREAM_ORDER_MERGED), t.export(ctx, t.hostile.names, runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON))
	}},
	{"B2-assets", "an assets.json of 2 million empty objects", nil, func(ctx context.Context, t *trial) string {
		_, err := runicornapiv1.NewArtifactServiceClient(t.dial(ctx)).ListAssets(ctx, &runicornapiv1.ListAssetsRequest{RunId: t.hostile.assets})
		return outcome(err)
	}},
	{"B2-runs", "a list of runs of 30 MiB of empty objects", nil, func(ctx context.Context, t *trial) string {
		t.hostile.floods.Store(true)
		defer t.hostile.floods.Store(false)
		_, err := t.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{})
		return outcome(err)
	}},
	{"B3", "206 with 1 GiB for a range", nil, func(ctx context.Context, t *trial) string {
		_, err := t.Metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{RunId: t.hostile.endless})
		return outcome(err)
	}},
	{"B4-sparse", "40,000 names in 20,000 sparse rows as wide Parquet and Arrow", nil, func(ctx context.Context, t *trial) string {
		return t.export(ctx, t.hostile.sparse, runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET) + ", " +
			t.export(ctx, t.hostile.sparse, runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW)
	}},
	{"B4-media", "100 images that are one file of 5 MB, JSON with media", nil, func(ctx context.Context, t *trial) string {
		return t.export(ctx, t.hostile.images, runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON)
	}},
	{"B5", "10,000 remote sessions", nil, func(ctx context.Context, t *trial) string {
		t.hostile.tunnels.Store(true)
		defer t.hostile.tunnels.Store(false)
		_, err := runicornapiv1.NewViewerServiceClient(t.dial(ctx)).ListViewers(ctx, &runicornapiv1.ListViewersRequest{})
		pause(ctx, hold+8*time.Second)
		return fmt.Sprintf("ListViewers %s, %.0f goroutines", outcome(err), t.figures(ctx)["goroutines"])
	}},
	{"C1", "130,000 empty run ids in a POST, beside an HTTP stream", nil, func(ctx context.Context, t *trial) string {
		stream := t.request(ctx, http.MethodGet, "/v1/metrics:tail?viewer=w&run_ids="+t.calm.runID, nil)
		ended := make(chan struct{})
		go func() { // ends with ctx at the latest
			defer close(ended)
			if stream != nil {
				_, _ = io.Copy(io.Discard, stream.Body)
			}
		}()
		body := `{"metric_name":"x","run_ids":["` + strings.Repeat(`","`, 130_000) + `"]}`
		note := t.statusOf(t.request(ctx, http.MethodPost, "/v1/experiments:findBest", strings.NewReader(body)))
		select {
		case <-ended:
			return note + ", the other HTTP stream ended"
		case <-time.After(3 * time.Second):
			return note + ", the other HTTP stream continued"
		}
	}},
	{"C2", "2,000 calls without a token that hold back the last byte of 1 MiB", []string{"--auth-token-file=TOKENS"}, holdBack(findBest)},
	{"C2-open", "the same where no token is needed", nil, holdBack(findBest)},
	{"C2-watch", "the same with Health/Watch", []string{"--auth-token-file=TOKENS"}, holdBack(watch)},
	{"C2-http", "2,000 HTTP bodies that hold back the last byte of 1 MiB", nil, func(ctx context.Context, t *trial) string {
		head := "POST /v1/experiments:findBest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"
		return t.openAll(ctx, 2000, head+strings.Repeat(" ", mib-1))
	}},
	{"C3", "60 bodies of which a byte is missing, at --max-connections=50", []string{"--max-connections=50"}, func(ctx context.Context, t *trial) string {
		for _, path := range []string{"/api/x", "/healthz", "/metrics", "/none"} {
			for range 15 {
				t.openAll(ctx, 1, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}")
			}
		}
		pause(ctx, hold)
		return "then /healthz " + t.statusOf(t.request(ctx, http.MethodGet, "/healthz", nil))
	}},
	{"C4", "nine StreamMetrics that nobody reads", nil, func(ctx context.Context, t *trial) string {
		for i := range 9 {
			_, _ = t.Metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{RunIds: []string{t.hostile.plain[i]}})
		}
		pause(ctx, time.Second)
		started := time.Now()
		_, err := t.Metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{RunId: t.hostile.plain[11], Last: new(int32(1))})
		return fmt.Sprintf("then another run is read in %.1f s: %s", time.Since(started).Seconds(), outcome(err))
	}},
	{"C5", "four CSV exports and 70 of /api/export that nobody reads, at --max-streams=60", []string{"--max-streams=60", "--max-http-streams=40"}, func(ctx context.Context, t *trial) string {
		for i := range 4 {
			_, _ = t.Experiments.ExportExperiment(ctx, &runicornapiv1.ExportExperimentRequest{RunId: t.hostile.plain[i], Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV})
		}
		for range 70 {
			body := fmt.Sprintf(`{"run_id":%q,"format":"jsonl"}`, t.hostile.long)
			t.openAll(ctx, 1, fmt.Sprintf("POST /api/export HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
		pause(ctx, 2*hold)
		return fmt.Sprintf("/healthz %s, /v1 %s, another wide export %s", t.statusOf(t.request(ctx, http.MethodGet, "/healthz", nil)),
			t.statusOf(t.request(ctx, http.MethodGet, "/v1/viewers", nil)), t.export(ctx, t.hostile.plain[11], runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV))
	}},
	{"C6", "100 HTTP tails of a run of 26 MB that nobody reads", nil, func(ctx context.Context, t *trial) string {
		defer pause(ctx, 2*hold)
		return t.openAll(ctx, 100, "GET /v1/metrics:tail?run_ids="+t.hostile.long+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}},
	{"D4", "calls with a wrong token, as fast as one connection goes", []string{"--auth-token-file=TOKENS"}, func(ctx context.Context, t *trial) string {
		client := runicornapiv1.NewExperimentServiceClient(t.dial(ctx))
		var calls atomic.Int64
		var callers errgroup.Group
		until := time.Now().Add(hold)
		for range 16 {
			callers.Go(func() error {
				for ; time.Now().Before(until); calls.Add(1) {
					wrong, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer wrong"), time.Hour)
					_, _ = client.ListProjects(wrong, &runicornapiv1.ListProjectsRequest{})
					cancel()
				}
				return nil
			})
		}
		if err := callers.Wait(); err != nil {
			return err.Error()
		}
		_, err := t.Experiments.ListProjects(withToken(ctx), &runicornapiv1.ListProjectsRequest{Viewer: "w"})
		return fmt.Sprintf("%d calls; one with a token: %s", calls.Load(), outcome(err))
	}},
}

// holdBack opens 2,000 calls of a method on one connection, each of which declares a
// message of 1 MiB and sends all but its last byte.
func holdBack(method string) func(context.Context, *trial) string {
	return func(ctx context.Context, t *trial) string {
		ctx, cancel := context.WithTimeout(ctx, hold)
		defer cancel()
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		prefix := binary.BigEndian.AppendUint32([]byte{0}, mib)
		zeros := make([]byte, mib-1)
		var refused, open atomic.Int64
		var calls errgroup.Group
		for range 2000 {
			calls.Go(func() error {
				body := io.MultiReader(bytes.NewReader(prefix), bytes.NewReader(zeros), silence{ctx.Done()})
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.Addr+method, body)
				if err != nil {
					return err
				}
				req.Header.Set("Content-Type", "application/grpc")
				req.Header.Set("TE", "trailers")
				if resp, err := transport.RoundTrip(req); err == nil {
					refused.Add(1)
					return resp.Body.Close()
				}
				open.Add(1)
				return nil
			})
		}
		err := calls.Wait()
		<-ctx.Done()
		return fmt.Sprintf("%d ended, %d were open for %v (%v)", refused.Load(), open.Load(), hold, err)
	}
}

// silence is a body that does not arrive.
type silence struct{ until <-chan struct{} }

func (s silence) Read([]byte) (int, error) {
	<-s.until
	return 0, io.ErrUnexpectedEOF
}

// openAll opens connections, sends a text on each and reads nothing. They are closed with
// ctx. It returns after hold, or immediately for a single connection.
func (t *trial) openAll(ctx context.Context, n int, text string) string {
	var sent atomic.Int64
	for range n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.HTTPAddr)
		if err != nil {
			return err.Error()
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		go func() { // ends when it is closed
			k, _ := io.WriteString(conn, text)
			sent.Add(int64(k))
		}()
	}
	if n > 1 {
		pause(ctx, hold)
	}
	return fmt.Sprintf("%d MiB were taken", sent.Load()/mib)
}

func pause(ctx context.Context, d time.Duration) { _ = rig.Pause(ctx, d) }

// request makes an HTTP request; nil without a response.
func (t *trial) request(ctx context.Context, method, path string, body io.Reader) *http.Response {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+t.HTTPAddr+path, body)
	if err != nil {
		return nil
	}
	req.Host = "localhost"
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil
	}
	context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
	return resp
}

func (t *trial) statusOf(resp *http.Response) string {
	if resp == nil {
		return "no answer"
	}
	size, _ := io.Copy(io.Discard, resp.Body)
	return fmt.Sprintf("%s (%d bytes)", resp.Status, size)
}

// dial opens a separate connection, which ends with ctx.
func (t *trial) dial(ctx context.Context) *grpc.ClientConn {
	conn, err := grpc.NewClient(t.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err) // cannot happen: the address is valid
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn
}

func (t *trial) export(ctx context.Context, id string, format runicornapiv1.ExportFormat) string {
	stream, err := t.Experiments.ExportExperiment(ctx, &runicornapiv1.ExportExperimentRequest{RunId: id, Format: format, IncludeMedia: true})
	return drain(stream, err)
}

func (t *trial) streamAll(ctx context.Context, id string, order runicornapiv1.StreamOrder) string {
	stream, err := t.Metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{RunIds: []string{id}, Order: order})
	return drain(stream, err)
}

// drain reads a stream to its end.
func drain[M any](stream grpc.ServerStreamingClient[M], err error) string {
	started := time.Now()
	if err == nil {
		err = rig.Drain(stream)
	}
	return fmt.Sprintf("%s in %.1f s", outcome(err), time.Since(started).Seconds())
}

func outcome(err error) string {
	if err == nil {
		return "OK"
	}
	if code := status.Code(err); code != codes.Unknown {
		return code.String()
	}
	return err.Error()
}
