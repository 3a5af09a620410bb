package fleet

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// twoViewers returns a fleet of the fake Viewers "lab" and "gpu", each with one session.
func twoViewers(t *testing.T) (f *Fleet, fake *viewerFake) {
	t.Helper()
	fake = &viewerFake{}
	fake.set(fakeSession("s1", 5001, true))
	f, err := New([]Entry{{Name: "lab", URL: "http://127.0.0.1:1"}, {Name: "gpu", URL: "http://127.0.0.1:2"}}, restclient.Config{Transport: fake})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, fake
}

func TestWithVisible_ShowsViewersAndTheirTunnels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := twoViewers(t)
		for visible, want := range map[string][]string{
			"lab": {"lab", "lab.s1"}, "gpu": {"gpu", "gpu.s1"}, "lab,gpu": {"lab", "gpu", "lab.s1", "gpu.s1"}, "": nil, "la": nil, "lab.s1": nil,
		} {
			ctx := WithVisible(t.Context(), strings.Split(visible, ","))
			if got := names(f.All(ctx)); !slices.Equal(got, want) {
				t.Errorf("%q sees %q, want %q", visible, got, want)
			}
		}
		if got := names(f.All(t.Context())); len(got) != 4 {
			t.Errorf("without a limit: %q", got)
		}
	})
}

func TestWithVisible_HiddenViewersDoNotExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, fake := twoViewers(t)
		if _, err := f.Get(t.Context(), "lab.s1"); err != nil {
			t.Fatal(err)
		}
		ctx, asked := WithVisible(t.Context(), []string{"gpu"}), fake.count()
		for hidden, none := range map[string]string{"lab": "nil", "lab.s1": "nil.s1", "lab.no": "nil.no"} {
			_, hiddenErr := f.Get(ctx, hidden)
			_, noneErr := f.Get(ctx, none)
			if hiddenErr == nil || strings.ReplaceAll(hiddenErr.Error(), hidden, none) != noneErr.Error() {
				t.Errorf("%s: %v, but %s: %v", hidden, hiddenErr, none, noneErr)
			}
			if _, ok := f.Siblings(ctx, hidden); ok {
				t.Errorf("%s has siblings", hidden)
			}
		}
		if fake.count() != asked {
			t.Error("a hidden viewer was queried, which can be measured")
		}
		first, err := f.Get(ctx, "")
		if err != nil || first.Name != "gpu" || !f.IsDefault(ctx, first) || f.IsDefault(t.Context(), first) {
			t.Errorf("the empty name is %v, %v", first, err)
		}
	})
}
