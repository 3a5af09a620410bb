package restclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const logRoute = "GET /api/runs/a-run/logs/ws"

// logViewer is a Viewer with a scripted log WebSocket.
type logViewer struct {
	*fakeViewer
	dials atomic.Int64
}

// talk is what a Viewer does on the n-th connection, counted from 1. When it returns, the
// connection is closed normally.
type talk func(ctx context.Context, conn *websocket.Conn, n int64)

func newLogViewer(t *testing.T, version string, f talk) *logViewer {
	t.Helper()
	v := &logViewer{fakeViewer: newViewer(t, version)}
	var handlers sync.WaitGroup
	t.Cleanup(handlers.Wait)
	v.on(logRoute, func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		ctx := conn.CloseRead(context.WithoutCancel(r.Context()))
		f(ctx, conn, v.dials.Add(1))
		_ = conn.Close(websocket.StatusNormalClosure, "") // the client may have disconnected
	})
	return v
}

// logClient returns a client with short timeouts.
func (v *logViewer) logClient(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	c := v.client(t, change...)
	c.logs.timeouts = logTimeouts{
		lastMessage: 50 * time.Millisecond, file: 50 * time.Millisecond, first: 50 * time.Millisecond, silence: 20 * time.Millisecond,
		reconnectDelay: time.Millisecond, maxReconnectDelay: 5 * time.Millisecond, closeTimeout: time.Second,
	}
	return c
}

// send sends texts; the client may have disconnected.
func send(ctx context.Context, conn *websocket.Conn, texts ...string) {
	for _, text := range texts {
		_ = conn.Write(ctx, websocket.MessageText, []byte(text))
	}
}

// says sends texts and closes the connection.
func says(texts ...string) talk {
	return func(ctx context.Context, conn *websocket.Conn, _ int64) { send(ctx, conn, texts...) }
}

// stays sends texts and waits until the client disconnects.
func stays(texts ...string) talk {
	return func(ctx context.Context, conn *websocket.Conn, _ int64) {
		send(ctx, conn, texts...)
		<-ctx.Done()
	}
}

func lines(texts ...string) []LogLine {
	var all []LogLine
	for _, text := range texts {
		all = append(all, LogLine{Text: text})
	}
	return all
}

func numbered(from, to int) []string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("line %d", n))
	}
	return all
}

var errStop = errors.New("enough")

// collect streams a log until it has n lines.
func collect(t *testing.T, c *Client, n int) ([]LogLine, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []LogLine
	err := c.StreamLog(ctx, "a-run", func(line LogLine) error {
		got = append(got, line)
		if len(got) == n {
			return errStop
		}
		return nil
	}, func() {})
	return got, err
}
