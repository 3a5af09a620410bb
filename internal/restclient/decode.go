package restclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

var errNotJSON = errors.New("the answer is not JSON")

type (
	// TextQuality is part of every answer with free text.
	TextQuality = viewerjson.TextQuality
	// Text is a string that may be missing.
	Text = viewerjson.Text
	// Texts is a list of texts.
	Texts = viewerjson.Texts
	// Int is an integer that may be missing.
	Int = viewerjson.Int
	// Float is a number that may be missing.
	Float = viewerjson.Float
	// Time is a time that may be missing.
	Time = viewerjson.Time
	// Source is where an asset came from, without paths and credentials.
	Source = viewerjson.Source
	// Value is one free-form value.
	Value = viewerjson.Value
	// Values is a free-form map.
	Values = viewerjson.Values
)

// The kinds of a Value.
const (
	ValueNumber  = viewerjson.ValueNumber
	ValueInteger = viewerjson.ValueInteger
	ValueDecimal = viewerjson.ValueDecimal
	ValueBool    = viewerjson.ValueBool
	ValueText    = viewerjson.ValueText
	ValueJSON    = viewerjson.ValueJSON
)

// readJSON makes a GET. Concurrent identical calls share its answer, which must not be
// changed.
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
	return v, x.decode(v, false)
}

// maxDecoded limits the memory of an answer's values in bytes, unless its body may be
// larger. A Viewer's list of 250,000 runs takes 256 MiB.
const maxDecoded = 128 << 20

// maxReserved is the maximum buffer allocated because of a Content-Length alone.
const maxReserved = 4 << 20

// decode reads the body to its end and decodes it. All answers that are held in memory as a
// whole are read here.
func (x *exchange) decode(v any, nonFinite bool) error {
	body := bytes.NewBuffer(make([]byte, 0, min(max(x.resp.ContentLength, 0), maxReserved)+bytes.MinRead))
	if _, err := body.ReadFrom(x); err != nil {
		return x.failure(err)
	}
	err := viewerjson.Unmarshal(body.Bytes(), v, max(maxDecoded, x.q.limit), nonFinite)
	if _, tooLarge := errors.AsType[*viewerjson.TooLargeError](err); tooLarge {
		return x.failure(fmt.Errorf("%w: %w", errOverLimit, err))
	}
	if err != nil {
		return x.malformed(fmt.Errorf("decode the answer: %w", err))
	}
	return nil
}

// readList reads a bare array. It is shared and must not be changed.
func readList[T any](ctx context.Context, c *Client, q call) (items []T, lossy bool, err error) {
	l, err := readJSON[viewerjson.List[T]](ctx, c, q)
	if err != nil {
		return nil, false, err
	}
	return l.Items, l.Lossy, nil
}

// acknowledgement is an answer that only reports success.
type acknowledgement struct {
	OK      bool `json:"ok"`
	Message Text `json:"message"`
}

// acknowledge makes a call whose answer is an acknowledgement.
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
