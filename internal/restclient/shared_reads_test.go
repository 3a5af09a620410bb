package restclient

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestClient_IdenticalReadsInFlightAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			sent.Add(1)
			return slowViewer(time.Second)(req)
		})
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := c.GetEnvironment(t.Context(), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := c.GetEnvironment(t.Context(), "y"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if got := sent.Load(); got != 2 {
			t.Errorf("sent %d calls for two runs", got)
		}
	})
}

func TestClient_SharedReadEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var aborted atomic.Bool
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			aborted.Store(true)
			return nil, req.Context().Err()
		})
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		defer leaveSecond()
		errs := make(chan error, 2)
		for _, ctx := range []context.Context{first, second} {
			go func() { _, err := c.Config(ctx); errs <- err }()
			synctest.Wait()
		}
		leaveFirst()
		if e := typed(t, <-errs, KindCanceled); !errors.Is(e, context.Canceled) {
			t.Error(e)
		}
		synctest.Wait()
		if aborted.Load() {
			t.Fatal("the call died although a caller still waits")
		}
		leaveSecond()
		wantKind(t, <-errs, KindCanceled)
		synctest.Wait()
		if !aborted.Load() {
			t.Error("the call lives on for nobody")
		}
	})
}

func TestClient_CanceledReadIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		c := bubbleClient(t, func(req *http.Request) (*http.Response, error) {
			if sent.Add(1) == 1 {
				<-req.Context().Done()
				pass(t, time.Second) // ends slowly
				return nil, req.Context().Err()
			}
			return response(200, `{}`), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := c.Config(ctx); done <- err }()
		synctest.Wait()
		cancel()
		wantKind(t, <-done, KindCanceled)
		if _, err := c.Config(t.Context()); err != nil {
			t.Error(err)
		}
		pass(t, 2*time.Second)
	})
}
