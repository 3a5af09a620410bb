package target

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machines answers for many Viewers; those whose host begins with "frozen" take
// connections and never answer until they thaw.
type machines struct {
	thawed atomic.Bool
	asked  atomic.Int32 // of the frozen ones
}

func (m *machines) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasPrefix(req.URL.Host, "frozen") {
		m.asked.Add(1)
		for !m.thawed.Load() {
			select {
			case <-req.Context().Done():
				return nil, req.Context().Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	body := "{}"
	if req.URL.Path == "/api/runs" {
		body = `[{"id":"a"}]`
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func newFleet(t *testing.T, m *machines, hosts ...string) *fleet.Fleet {
	t.Helper()
	entries := make([]fleet.Entry, 0, len(hosts))
	for _, host := range hosts {
		entries = append(entries, fleet.Entry{Name: host, URL: "http://" + host + ".test"})
	}
	f, err := fleet.New(entries, restclient.Config{Transport: m})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func runsOf(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
	return v.Client.Runs(ctx)
}

// listAll lists over all Viewers, and returns how many answered, how many did not, and
// the duration.
func listAll(t *testing.T, f *fleet.Fleet) (answered, missing int, took time.Duration) {
	t.Helper()
	start := time.Now()
	results, err := FanOut(t.Context(), Resolver{Fleet: f}, AllViewers, runsOf)
	if err != nil {
		t.Fatal(err)
	}
	return len(results.Succeeded), len(results.Unreachable), time.Since(start)
}

func TestFanOut_AFrozenViewerDelaysOnlyTheFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{}
		f := newFleet(t, m, "up1", "frozen1", "up2", "frozen2", "frozen3")
		defer f.Close()
		if answered, missing, took := listAll(t, f); answered != 2 || missing != 3 || took > 2500*time.Millisecond {
			t.Errorf("first: %d answered, %d are missing, after %v", answered, missing, took)
		}
		for range 40 { // for two minutes: its requests time out meanwhile
			if answered, missing, took := listAll(t, f); answered != 2 || missing != 3 || took > 300*time.Millisecond {
				t.Fatalf("later: %d answered, %d are missing, after %v", answered, missing, took)
			}
			time.Sleep(3 * time.Second) //nolint:forbidigo // fake time
		}
		if asked := m.asked.Load(); asked > 60 {
			t.Errorf("the frozen ones were asked %d times", asked)
		}
		m.thawed.Store(true)
		time.Sleep(6 * time.Second) //nolint:forbidigo // fake time
		if answered, missing, _ := listAll(t, f); answered != 5 || missing != 0 {
			t.Errorf("after the thaw %d answer and %d are missing", answered, missing)
		}
	})
}

func TestFanOut_ASlowViewerIsIncludedNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{}
		f := newFleet(t, m, "up", "frozen")
		defer f.Close()
		go func() {
			time.Sleep(3 * time.Second) //nolint:forbidigo // fake time
			m.thawed.Store(true)
		}()
		if answered, missing, _ := listAll(t, f); answered != 1 || missing != 1 {
			t.Errorf("%d answered, %d are missing", answered, missing)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // fake time
		if answered, missing, _ := listAll(t, f); answered != 2 || missing != 0 {
			t.Errorf("%d answered, %d are missing", answered, missing)
		}
	})
}

func TestFanOut_ASingleViewerHasTheDeadlineOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machines{}
		f := newFleet(t, m, "frozen")
		defer f.Close()
		go func() {
			time.Sleep(10 * time.Second) //nolint:forbidigo // fake time
			m.thawed.Store(true)
		}()
		if answered, missing, _ := listAll(t, f); answered != 1 || missing != 0 {
			t.Errorf("%d answered, %d are missing", answered, missing)
		}
	})
}

func TestFanOut_EndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &machines{}, "frozen1", "frozen2")
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := FanOut(ctx, Resolver{Fleet: f}, AllViewers, runsOf); !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			t.Errorf("got %v", err)
		}
	})
}

// TestWithMargin_IsTheSameAfterEachStage: a call whose first stage takes all its time still
// has time for its response.
func TestWithMargin_IsTheSameAfterEachStage(t *testing.T) {
	for _, tt := range []struct{ deadline, want time.Duration }{{2 * time.Second, 200 * time.Millisecond}, {time.Minute, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
			defer cancel()
			ctx = ReserveMargin(ctx)
			for _, stage := range []string{"first", "second"} {
				early, stop := WithMargin(ctx)
				nested, stopNested := WithMargin(early)
				<-nested.Done()
				deadline, _ := ctx.Deadline()
				if got := time.Until(deadline); got != tt.want {
					t.Errorf("the %s stage of %v ends %v before the deadline, want %v", stage, tt.deadline, got, tt.want)
				}
				stopNested()
				stop()
			}
		})
	}
}
