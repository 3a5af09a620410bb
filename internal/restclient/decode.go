package restclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var errNotJSON = errors.New("the answer is not JSON")

// lenient is how answers are read: unknown fields are ignored, a name that
// comes twice counts by its last value, and invalid UTF-8 becomes U+FFFD.
func lenient() json.Options {
	return json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// readJSON makes a GET whose answer may be shared by all who ask the same at
// this moment; it must therefore not be changed.
func readJSON[T any](ctx context.Context, c *Client, q call) (*T, error) {
	return shareGET(ctx, c, q, func(ctx context.Context) (*T, error) { return doJSON[T](ctx, c, q) })
}

// doJSON makes a call and decodes its JSON answer.
func doJSON[T any](ctx context.Context, c *Client, q call) (_ *T, err error) {
	x, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer func() { err = x.closeWith(err) }()
	if err := x.wantJSON(); err != nil {
		return nil, err
	}
	v := new(T)
	body := &textReader{r: x}
	if err := json.UnmarshalRead(body, v, lenient()); err != nil {
		return nil, x.malformed(fmt.Errorf("decode the answer: %w", err))
	}
	if l, ok := any(v).(lossyMarker); ok && body.lossy {
		l.markLossy()
	}
	return v, nil
}

// list is an answer that is a bare array.
type list[T any] struct {
	TextQuality
	items []T
}

// UnmarshalJSONFrom reads the array.
func (l *list[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return json.UnmarshalDecode(dec, &l.items, lenient())
}

// readList reads a bare array, which is shared and must not be changed.
func readList[T any](ctx context.Context, c *Client, q call) (items []T, lossy bool, err error) {
	l, err := readJSON[list[T]](ctx, c, q)
	if err != nil {
		return nil, false, err
	}
	return l.items, l.Lossy, nil
}

// acknowledgement is an answer that says only whether it was done.
type acknowledgement struct {
	OK      bool `json:"ok"`
	Message Text `json:"message"`
}

// acknowledge makes a call that is answered by an acknowledgement.
func (c *Client) acknowledge(ctx context.Context, q call) error {
	answer, err := doJSON[acknowledgement](ctx, c, q)
	if err == nil && !answer.OK {
		return c.refused(q, KindServer, answer.Message.Value)
	}
	return err
}

// wantJSON refuses an answer of another content type before it is decoded.
func (x *exchange) wantJSON() error {
	mediaType, _, err := mime.ParseMediaType(x.resp.Header.Get("Content-Type"))
	if err != nil || (mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json")) {
		return x.malformed(errNotJSON)
	}
	return nil
}

// TextQuality is part of every answer with free text.
type TextQuality struct {
	// Lossy is true where bytes that were not valid UTF-8 were replaced by
	// U+FFFD.
	Lossy bool `json:"-"`
}

type lossyMarker interface{ markLossy() }

func (q *TextQuality) markLossy() { q.Lossy = true }

// textReader notes whether the bytes that pass are valid UTF-8, without
// holding them.
type textReader struct {
	r     io.Reader
	rest  []byte // the beginning of a rune that the last read cut
	lossy bool
}

// Read passes the bytes on as they are.
func (t *textReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if !t.lossy {
		t.check(p[:n])
		if err != nil && len(t.rest) > 0 {
			t.lossy = true
		}
	}
	return n, err
}

func (t *textReader) check(p []byte) {
	for len(t.rest) > 0 && len(p) > 0 && !utf8.FullRune(t.rest) {
		t.rest, p = append(t.rest, p[0]), p[1:]
	}
	if len(t.rest) > 0 {
		if !utf8.FullRune(t.rest) {
			return
		}
		if !utf8.Valid(t.rest) {
			t.lossy = true
			return
		}
		t.rest = t.rest[:0]
	}
	end := len(p)
	for back := 1; back <= min(utf8.UTFMax, len(p)); back++ {
		if tail := p[len(p)-back:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				end = len(p) - back
				t.rest = append(t.rest[:0], tail...)
			}
			break
		}
	}
	t.lossy = !utf8.Valid(p[:end])
}
