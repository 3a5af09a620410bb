package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type tailServer = grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]

// collect is the loop of a user, without error handling.
func collect(ctx context.Context, c *Client, request *runicornapiv1.TailMetricsRequest) (steps []int64, token string, err error) {
	for event, err := range c.Tail(ctx, request) {
		if err != nil {
			return steps, token, err
		}
		for p := range event.Points() {
			steps = append(steps, p.Step)
		}
		token = event.Token()
	}
	return steps, token, nil
}

func TestTail_GoesOnAfterEveryBreakThatIsNotFinal(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.Unknown, codes.Canceled} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			f.tail = func(call int, req *runicornapiv1.TailMetricsRequest, s tailServer) error {
				if got := strings.Join(req.GetRunIds(), " ") + strings.Join(req.GetMetricNames(), " "); got != "rloss" {
					t.Errorf("call %d selects %q", call, got)
				}
				wantToken := map[int]string{1: "", 2: "t1", 3: "t2"}[call]
				if req.GetResumeToken() != wantToken || (req.GetStart() == 0) != (wantToken != "") {
					t.Errorf("call %d: token %q, start %v", call, req.GetResumeToken(), req.GetStart())
				}
				err := s.Send(pointsAt(fmt.Sprintf("t%d", call), int64(call)))
				if call < 3 {
					return errors.Join(err, status.Error(code, "broken"))
				}
				return err
			}
			withFake(t, f, func(t *testing.T, c *Client) {
				t.Helper()
				steps, token, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{
					RunIds: []string{"r"}, MetricNames: []string{"loss"}, Start: runicornapiv1.TailStart_TAIL_START_BEGINNING,
				})
				if err != nil || token != "t3" {
					t.Errorf("token %q, error %v", token, err)
				}
				wantSteps(t, steps, 1, 2, 3)
			})
		})
	}
}

func TestTail_EndsByFinalErrors(t *testing.T) {
	t.Parallel()
	final := []error{
		ours(codes.Internal, "VIEWER_ERROR"), ours(codes.Unknown, "OUTCOME_UNKNOWN"), ours(codes.NotFound, "VIEWER_NOT_FOUND"),
		status.Error(codes.PermissionDenied, "no"), status.Error(codes.Unimplemented, "no"), status.Error(codes.ResourceExhausted, "no"),
	}
	for _, err := range final {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			f.tail = func(_ int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
				return errors.Join(s.Send(pointsAt("t", 1)), err)
			}
			withFake(t, f, func(t *testing.T, c *Client) {
				t.Helper()
				steps, _, got := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}})
				if status.Code(got) != status.Code(err) || f.calls != 1 {
					t.Errorf("after %d calls: %v", f.calls, got)
				}
				wantSteps(t, steps, 1)
			})
		})
	}
}

func TestTail_GivesUpBeforeAFirstMessageOnly(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.tail = func(call int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
		if call == 4 {
			if err := s.Send(heartbeat("t")); err != nil {
				return err
			}
		}
		if call == 40 {
			return nil
		}
		return ours(codes.Unavailable, "VIEWER_UNREACHABLE")
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		if _, token, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}); err != nil || f.calls != 40 || token != "t" {
			t.Errorf("after %d calls: token %q, error %v", f.calls, token, err)
		}
	})
	f = &fake{tail: func(int, *runicornapiv1.TailMetricsRequest, tailServer) error {
		return status.Error(codes.Unavailable, "gone")
	}}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		if _, _, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}); !IsUnavailable(err) || f.calls != 4 {
			t.Errorf("after %d calls: %v", f.calls, err)
		}
	})
}

func TestTail_WaitsLongerFromFailureToFailureAndAsLongAsTheServerSays(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	f := &fake{}
	f.tail = func(call int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
		switch call {
		case 1, 12:
			return errors.Join(s.Send(pointsAt("t", 1)), status.Error(codes.Unavailable, "gone"))
		case 13:
			return ours(codes.Unavailable, "VIEWER_UNREACHABLE", &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
		case 14:
			return nil
		default: // heartbeats alone are no progress
			return errors.Join(s.Send(heartbeat("t")), status.Error(codes.Unavailable, "gone"))
		}
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		if _, _, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}); err != nil {
			t.Error(err)
		}
	}, WithOnRetry(func(r Retry) {
		if r.Method != "TailMetrics" || r.Err == nil {
			t.Errorf("retry %+v", r)
		}
		waits = append(waits, r.Wait)
	}))
	if len(waits) != 13 {
		t.Fatalf("waits %v", waits)
	}
	base := firstDelay
	for i, wait := range waits[:11] {
		if wait < base/2 || wait > base {
			t.Errorf("wait %d: %v, want at most %v and at least half of it", i, wait, base)
		}
		base = min(2*base, maxDelay)
	}
	if waits[11] > firstDelay {
		t.Errorf("after points the wait is %v", waits[11])
	}
	if waits[12] != time.Minute {
		t.Errorf("RetryInfo is a minute, the wait is %v", waits[12])
	}
}

func TestTail_ConnectsAnewAfterTwoSilentHeartbeats(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.tail = func(call int, req *runicornapiv1.TailMetricsRequest, s tailServer) error {
		if call > 1 && req.GetResumeToken() != "t" {
			t.Errorf("call %d has the token %q", call, req.GetResumeToken())
		}
		if call == 4 {
			return s.Send(pointsAt("u", 2))
		}
		if call == 1 {
			if err := s.Send(pointsAt("t", 1)); err != nil {
				return err
			}
		}
		<-s.Context().Done() // no message until the client cancels the call
		return nil
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		begin := time.Now()
		steps, _, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}, HeartbeatInterval: durationpb.New(3 * time.Second)})
		if err != nil {
			t.Error(err)
		}
		wantSteps(t, steps, 1, 2)
		if took := time.Since(begin); took < 18*time.Second || took > 20*time.Second {
			t.Errorf("three silences of 6 s took %v", took)
		}
		if f.connections != 4 {
			t.Errorf("%d connections for 4 calls", f.connections)
		}
	})
}

func TestTail_SlowCallersAreNotSilence(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.tail = func(_ int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
		return errors.Join(s.Send(pointsAt("t", 1)), s.Send(pointsAt("u", 2)))
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		for _, err := range c.Tail(t.Context(), &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}) {
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Hour) // of the fake clock
		}
		if f.calls != 1 {
			t.Errorf("%d calls", f.calls)
		}
	})
}

func TestTail_EndsWithItsContextAndWithItsLoop(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	f := &fake{}
	f.tail = func(_ int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
		if err := s.Send(pointsAt("t", 1)); err != nil {
			return err
		}
		<-s.Context().Done()
		ended <- struct{}{}
		return nil
	}
	t.Run("context", func(t *testing.T) {
		withFake(t, f, func(t *testing.T, c *Client) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _, err := collect(ctx, c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			<-ended
		})
	})
	t.Run("loop", func(t *testing.T) {
		withFake(t, f, func(t *testing.T, c *Client) {
			t.Helper()
			for range c.Tail(t.Context(), &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}) {
				break
			}
			<-ended
		})
	})
	t.Run("context while it waits", func(t *testing.T) {
		f := &fake{tail: func(_ int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
			return errors.Join(s.Send(heartbeat("t")), status.Error(codes.Unavailable, "gone"))
		}}
		withFake(t, f, func(t *testing.T, c *Client) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second)
			defer cancel()
			if _, _, err := collect(ctx, c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"r"}}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			if f.calls > 600 {
				t.Errorf("%d calls in an hour", f.calls)
			}
		})
	})
}

func TestTail_SaysThatARunDoesNotExist(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.tail = func(_ int, _ *runicornapiv1.TailMetricsRequest, s tailServer) error {
		end := &runicornapiv1.TailEnd{Reason: runicornapiv1.EndReason_END_REASON_NOT_FOUND}
		return errors.Join(
			s.Send(&runicornapiv1.TailMetricsResponse{RunId: "gone", Event: &runicornapiv1.TailMetricsResponse_End{End: end}}),
			s.Send(pointsAt("t", 1)))
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		steps, _, err := collect(t.Context(), c, &runicornapiv1.TailMetricsRequest{RunIds: []string{"gone", "r"}})
		e, ok := errors.AsType[*Error](err)
		if !ok || !IsNotFound(err) || e.Metadata["run_id"] != "gone" || !HasReason(err, runicornapiv1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND) {
			t.Errorf("the error is %v", err)
		}
		wantSteps(t, steps, 1) // the points of the other runs precede the error
	})
}

func TestTailLogs_ResumesWithoutLastLines(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.tailLogs = func(call int, req *runicornapiv1.TailLogsRequest, s grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error {
		if (req.LastLines != nil) != (call == 1) || req.GetRunId() != "r" {
			t.Errorf("call %d: %v", call, req)
		}
		line := &runicornapiv1.LogLine{Text: fmt.Sprint("line ", call)}
		err := s.Send(&runicornapiv1.TailLogsResponse{ResumeToken: "t", Event: &runicornapiv1.TailLogsResponse_Batch{Batch: &runicornapiv1.LogBatch{Lines: []*runicornapiv1.LogLine{line}}}})
		if call == 1 {
			return errors.Join(err, status.Error(codes.Unavailable, "gone"))
		}
		return err
	}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		var lines []string
		for event, err := range c.TailLogs(t.Context(), &runicornapiv1.TailLogsRequest{RunId: "r", LastLines: new(int32(5))}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range event.GetBatch().GetLines() {
				lines = append(lines, line.GetText()+event.Token())
			}
		}
		if got := strings.Join(lines, ", "); got != "line 1t, line 2t" {
			t.Errorf("lines %s", got)
		}
	})
}
