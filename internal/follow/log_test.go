package follow

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestHub_LogsChangesAndNoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		src := newLiveSource(runsourcetest.Lines(0, 10))
		c := follow(t, newTestHub(t, HubConfig{Log: log}), src, runsource.Beginning(), Forever)
		c.waitFor(10 * time.Second)
		src.Set(func() { src.down = errors.New("out of reach") })
		c.waitFor(time.Minute)
		src.Set(func() { src.down = nil })
		c.waitFor(time.Minute)
		src.Replace(runsourcetest.Lines(50, 3))
		c.waitFor(time.Minute)
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		const run = " viewer=v run_id=r log=metrics"
		want := []string{
			`level=WARN msg="followed run cannot be read"` + run + ` error="out of reach"`,
			`level=INFO msg="followed run can be read again"` + run,
			`level=INFO msg="followed log was reset"` + run + ` reason=truncated`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("log lines (-want +got):\n%s", diff)
		}
	})
}
