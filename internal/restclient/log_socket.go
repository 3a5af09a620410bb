package restclient

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// logSocket is one open WebSocket. close ends its reader.
type logSocket struct {
	x            *exchange
	conn         *websocket.Conn
	frames       chan frame // closed by the reader after readErr is set
	readErr      error
	pong         chan struct{}
	consumerDone chan struct{}   // closed when frames are no longer consumed
	ctx          context.Context //nolint:containedctx // the connection's
	abort        context.CancelFunc
	pings        sync.WaitGroup
	closeTimeout time.Duration
}

// openLogSocket opens the WebSocket. It takes no slot, because it lasts as long as it is
// read and costs the Viewer little, and it is not charged as background work.
func (c *Client) openLogSocket(ctx context.Context, runID string) (*logSocket, error) {
	r, err := c.require(ctx, capLogStream)
	if err != nil {
		return nil, err
	}
	x := newExchange(context.WithValue(ctx, backgroundKey{}, nil), c, r, call{cap: capLogStream, ids: []string{runID}})
	req, err := x.prepare(x.ctx)
	if err != nil {
		return nil, err
	}
	//nolint:bodyclose // Dial has read and closed it
	conn, resp, err := websocket.Dial(x.ctx, req.URL.String(), &websocket.DialOptions{
		HTTPHeader: http.Header{"User-Agent": req.Header["User-Agent"]},
		HTTPClient: &http.Client{Transport: c.transport, CheckRedirect: refuseRedirect},
	})
	c.breaker.record(err)
	switch {
	case err != nil && resp != nil:
		x.onHeaders(resp)
		return nil, x.fail(x.handshakeError(err))
	case err != nil:
		return nil, x.fail(err)
	}
	x.onHeaders(&http.Response{StatusCode: http.StatusSwitchingProtocols, Body: http.NoBody})
	c.connLog.onAnswer()
	return newLogSocket(x, conn, c.logs.timeouts.closeTimeout), nil
}

// refuseRedirect keeps a client from following redirects.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// handshakeError returns the error for an answer that is not a handshake.
func (x *exchange) handshakeError(err error) error {
	if checked := x.check(); checked != nil {
		return checked
	}
	return &Error{Kind: KindMalformed, Status: x.status(), Err: err}
}

// newLogSocket starts the reader of a connection. Reads do not use the caller's context:
// its end would close the connection without a close frame, and the Viewer would keep
// waiting for an answer to its pings.
func newLogSocket(x *exchange, conn *websocket.Conn, closeTimeout time.Duration) *logSocket {
	ctx, abort := context.WithCancel(context.Background())
	s := &logSocket{
		x: x, conn: conn, frames: make(chan frame), pong: make(chan struct{}), consumerDone: make(chan struct{}),
		ctx: ctx, abort: abort, closeTimeout: closeTimeout,
	}
	conn.SetReadLimit(-1) // read enforces MaxLogLine itself, because a long line must not end the connection
	go s.readAll()
	return s
}

// readAll reads until the connection ends. Frames that are no longer consumed are dropped,
// so that the Viewer's close frame is read.
func (s *logSocket) readAll() {
	defer close(s.frames)
	for {
		f, err := s.read()
		if err != nil {
			s.readErr = err
			return
		}
		select {
		case s.frames <- f:
		case <-s.consumerDone:
		}
	}
}

// ping checks whether the Viewer is alive. The reader must continue meanwhile.
func (s *logSocket) ping() {
	s.pings.Go(func() {
		if s.conn.Ping(s.ctx) != nil {
			return // the reader gets the error
		}
		select {
		case s.pong <- struct{}{}:
		case <-s.consumerDone:
		}
	})
}

// frame is one text message of the Viewer, truncated.
type frame struct {
	text      string
	truncated bool
	size      int64
}

func (s *logSocket) read() (frame, error) {
	_, r, err := s.conn.Reader(s.ctx)
	if err != nil {
		return frame{}, err
	}
	kept, err := io.ReadAll(io.LimitReader(r, MaxLogLine))
	if err != nil {
		return frame{}, err
	}
	rest, err := io.Copy(io.Discard, r)
	if err != nil {
		return frame{}, err
	}
	return frame{text: string(kept), truncated: rest > 0, size: int64(len(kept)) + rest}, nil
}

// close sends a close frame, waits for the reader, and ends the exchange with err.
func (s *logSocket) close(err error) error {
	close(s.consumerDone)
	timer := time.AfterFunc(s.closeTimeout, s.abort)
	defer timer.Stop()
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // fails if the Viewer is gone
	s.abort()
	for range s.frames {
		continue // until the reader has ended
	}
	s.pings.Wait()
	return s.x.closeWith(err)
}

// unknownSocket recognizes the 403 with which a Viewer answers a handshake on an unknown
// path.
func unknownSocket(status int, _ string) (Kind, bool) {
	return KindUnsupported, status == http.StatusForbidden
}
