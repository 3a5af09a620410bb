package demoviewer

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Answer is a response to be written after the lock is released. It has either Body, Text
// or a file.
type Answer struct {
	Status      int
	Header      map[string]string
	ContentType string // "application/json" unless set
	Body        any    // JSON
	Text        []byte
	file        *download
}

// OK is a 200 with a JSON body.
func OK(body any) Answer { return Answer{Status: http.StatusOK, Body: body} }

// Detail is FastAPI's error body.
func Detail(status int, text any) Answer {
	return Answer{Status: status, Body: map[string]any{"detail": text}}
}

// badRequest is a 400.
func badRequest(text string) Answer { return Detail(http.StatusBadRequest, text) }

// write sends the answer. Write errors mean that the client has disconnected, and are
// ignored.
func (a Answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if a.ContentType != "" {
		h.Set("Content-Type", a.ContentType)
	}
	// Headers of every answer of a real Viewer. The limits are constant because rate
	// limiting is off by default.
	h.Set("Server", "uvicorn")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.Set("Vary", "Origin")
		h.Set("X-Ratelimit-Limit", "6000")
		h.Set("X-Ratelimit-Remaining", "6000")
		h.Set("X-Ratelimit-Reset", "60")
	}
	for name, value := range a.Header {
		h.Set(name, value)
	}
	if a.file != nil {
		a.file.serve(w, r)
		return
	}
	raw := a.Text
	if a.Body != nil {
		raw = Encode(a.Body)
	}
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(raw)
}

// Encode encodes JSON like Starlette: compact, without escaping HTML characters.
func Encode(body any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		panic("demoviewer: an answer that cannot be encoded: " + err.Error())
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

// pyFloat is a Python float in JSON: always with a point or an exponent; NaN and infinities
// become null, as in the Viewer.
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
