package fleet

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnEnd_ReportsTheEndOfASessionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &viewerFake{}
		f := newFleet(t, fake)
		fake.set(fakeSession("abc", 8081, true), fakeSession("def", 8082, true))
		v, err := f.Get(t.Context(), "lab.abc")
		if err != nil {
			t.Fatal(err)
		}
		reported := make(chan error, 4)
		v.OnEnd(func(err error) { reported <- err })
		v.OnEnd(func(error) { t.Error("told though it was taken back") })()
		f.Configured()[0].OnEnd(func(error) { t.Error("a configured viewer has ended") })()
		if err := f.CheckAlive(t.Context(), v); err != nil {
			t.Error(err)
		}
		fake.set(fakeSession("abc", 8081, false), fakeSession("def", 8082, true)) // as 0.7.2 when SSH is lost
		time.Sleep(time.Millisecond)                                              //nolint:forbidigo // fake time
		if err := f.CheckAlive(t.Context(), v); err == nil {
			t.Error("it is alive after its end")
		}
		synctest.Wait()
		if len(reported) != 1 {
			t.Fatalf("told %d times", len(reported))
		}
		err = <-reported
		if ended, ok := errors.AsType[*EndedError](err); !ok || ended.Name != "lab.abc" {
			t.Errorf("told %v", err)
		}
		siblings, ok := f.Siblings(t.Context(), "lab.abc")
		if !ok || !slices.Equal(names(siblings), []string{"lab.def"}) {
			t.Errorf("siblings %q", names(siblings))
		}
		fake.set(fakeSession("abc", 8081, true))
		time.Sleep(getMaxAge + time.Millisecond) //nolint:forbidigo // fake time
		again, err := f.Get(t.Context(), "lab.abc")
		if err != nil || again == v {
			t.Fatalf("back again is %v, %v", again, err)
		}
		f.Remove(f.Configured()[0], "abc")
		v.OnEnd(func(err error) { reported <- err })
		again.OnEnd(func(err error) { reported <- err })
		synctest.Wait()
		if len(reported) != 2 {
			t.Errorf("told %d times", len(reported))
		}
		for _, name := range []string{"lab", "other.abc", "lab.a.b", ""} {
			if _, ok := f.Siblings(t.Context(), name); ok {
				t.Errorf("%q is a session", name)
			}
		}
	})
}
