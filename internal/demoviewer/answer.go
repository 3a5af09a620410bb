package demoviewer

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// answer is a response that waits to be written after the lock is free. One of body, text, stream and file is set.
type answer struct {
	status      int
	header      map[string]string
	contentType string // "application/json" unless set
	body        any    // JSON
	text        []byte
	stream      func(io.Writer) error // written as it is made, for tables that are larger than memory should hold
	file        *download
}

// ok is a 200 with a JSON body.
func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// detail is FastAPI's error body.
func detail(status int, text any) answer {
	return answer{status: status, body: map[string]any{"detail": text}}
}

// write sends the answer. A failing write means that the client has gone, and there is nobody to tell.
func (a answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if a.contentType != "" {
		h.Set("Content-Type", a.contentType)
	}
	// What every answer of a real Viewer carries; the limits never move because limiting is off by default.
	h.Set("Server", "uvicorn")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.Set("Vary", "Origin")
		h.Set("X-Ratelimit-Limit", "6000")
		h.Set("X-Ratelimit-Remaining", "6000")
		h.Set("X-Ratelimit-Reset", "60")
	}
	for name, value := range a.header {
		h.Set(name, value)
	}
	switch {
	case a.file != nil:
		a.file.serve(w, r)
	case a.stream != nil:
		w.WriteHeader(a.status)
		if err := a.stream(w); err != nil {
			panic(http.ErrAbortHandler) // the only way to tell the client that the body is not whole
		}
	default:
		raw := a.text
		if a.body != nil {
			raw = encode(a.body)
		}
		h.Set("Content-Length", strconv.Itoa(len(raw)))
		w.WriteHeader(a.status)
		_, _ = w.Write(raw)
	}
}

// encode writes JSON as Starlette does: compact, with no escapes of HTML characters.
func encode(body any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		panic("demoviewer: an answer that cannot be encoded: " + err.Error())
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

// pyFloat is a Python float in JSON: always with a point or an exponent; NaN and infinities become null, as the Viewer
// makes them.
type pyFloat float64

// MarshalJSON implements json.Marshaler.
func (f pyFloat) MarshalJSON() ([]byte, error) {
	x := float64(f)
	switch {
	case math.IsNaN(x), math.IsInf(x, 0):
		return []byte("null"), nil
	case x == math.Trunc(x) && math.Abs(x) < 1e16:
		return strconv.AppendFloat(nil, x, 'f', 1, 64), nil
	default:
		return json.Marshal(x)
	}
}

// floatPtr turns an optional number into an optional Python float.
func floatPtr(x *float64) *pyFloat {
	if x == nil {
		return nil
	}
	f := pyFloat(*x)
	return &f
}
