package serverproc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	b := &Binary{}
	defer func() {
		dir, err := b.Dir()
		if err := errors.Join(err, b.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
	}()

	t.Run("a process serves at its addresses, keeps what it wrote, and ends well", func(t *testing.T) {
		p, err := b.Start(t.Context(), "--demo")
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, "http://"+p.HTTPAddr+"/readyz"); !strings.Contains(got, "SERVING") {
			t.Errorf("/readyz: %s", got)
		}
		if err := p.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := p.Stop(); err != nil {
			t.Errorf("stop a second time: %v", err)
		}
		for _, want := range []string{p.GRPCAddr, "msg=drained", "try "} {
			if !strings.Contains(p.Output(), want) {
				t.Errorf("the output lacks %q:\n%s", want, p.Output())
			}
		}
	})
	t.Run("a process that ends at once says why", func(t *testing.T) {
		_, err := b.Start(t.Context(), "--no-such-flag")
		if err == nil || !strings.Contains(err.Error(), "no-such-flag") {
			t.Errorf("start: %v", err)
		}
	})
	t.Run("a start that is given up leaves no process", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p, err := b.Start(ctx, "--demo")
		if p == nil && !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		if p != nil { // it had started before the context was checked
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
