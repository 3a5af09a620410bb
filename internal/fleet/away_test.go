package fleet

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// A Viewer may list any number, and each would have goroutines, connections and metrics.
func TestAll_LimitsTheNumberOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		fake := &viewerFake{}
		f, err := New([]Entry{{Name: "lab", URL: "http://127.0.0.1:23300"}}, restclient.Config{
			Transport: fake, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fake.set(fakeSession("mine", 8081, true))
		mine, err := f.Get(t.Context(), "lab.mine")
		if err != nil {
			t.Fatal(err)
		}
		var many []map[string]any
		for n := range 10_000 {
			many = append(many, fakeSession(fmt.Sprintf("s%d", n), 10_000+n, true))
		}
		fake.set(append(many, fakeSession("mine", 8081, true))...)
		for range 5 {
			time.Sleep(listMaxAge + time.Second) //nolint:forbidigo // fake time
			if got := len(f.All(t.Context())); got != 1+maxSessions {
				t.Fatalf("%d viewers", got)
			}
		}
		if again, err := f.Get(t.Context(), "lab.mine"); again != mine || err != nil {
			t.Errorf("one that was known has gone: %v", err)
		}
		if got := strings.Count(log.String(), "left_out=9937"); got != 1 {
			t.Errorf("logged %d times:\n%s", got, log.String())
		}
		fake.set(fakeSession("mine", 8081, true))
		time.Sleep(listMaxAge + time.Second) //nolint:forbidigo // fake time
		if got := len(f.All(t.Context())); got != 2 {
			t.Errorf("%d viewers are left", got)
		}
	})
}
