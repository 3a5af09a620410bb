package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// lockedLog is a log that may be read at any time.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestAPanicEndsTheConnectionAndRevealsNoSecret has an answer panic with the body
// of its request, which net/http by itself would log.
func TestAPanicEndsTheConnectionAndRevealsNoSecret(t *testing.T) {
	t.Parallel()
	log := &lockedLog{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := serve(t, &backend{}, func(cfg *Config) {
		cfg.Log = logger
		cfg.Compat = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			panic(errors.Join(errors.New(string(body)), err))
		})
	})
	server.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/remote/connect", strings.NewReader("canary"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := server.Client().Do(req)
	if err == nil {
		resp.Body.Close()
		t.Errorf("answered %s", resp.Status)
	}
	text := log.String()
	if strings.Contains(text, "canary") {
		t.Errorf("the log has the body:\n%s", text)
	}
	for _, want := range []string{"msg=panic", "path=/api/remote/connect", "recover_test.go", "*errors.joinError"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}
