package restclient

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// maxErrorBody is the number of bytes read of an error's body.
const maxErrorBody = 64 << 10

// missingRoute is Starlette's text if no route matches. A missing resource has a text of
// the Viewer.
const missingRoute = "Not Found"

var errEncoded = errors.New("the answer is compressed although compression was not requested")

// kindOf maps every status from 100 to 599 to a kind.
func kindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return KindAuth
	case http.StatusForbidden:
		return KindForbidden
	case http.StatusNotFound:
		return KindNotFound
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return KindUnsupported
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return KindTimeout
	case http.StatusConflict:
		return KindConflict
	case http.StatusRequestEntityTooLarge:
		return KindTooLarge
	case http.StatusTooManyRequests:
		return KindRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return KindUnreachable
	}
	switch {
	case status >= 500:
		return KindServer
	case status >= 400:
		return KindBadRequest
	}
	return KindMalformed // 1xx, 3xx and odd 2xx: redirects are not followed
}

// check is the third stage: it returns a typed error unless the answer is a success.
func (x *exchange) check() error {
	status, header := x.resp.StatusCode, x.resp.Header
	if enc := header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return &Error{Kind: KindMalformed, Status: status, Err: errEncoded}
	}
	switch {
	case status == http.StatusOK, status == http.StatusPartialContent && x.q.bytes != "":
		if isPage(header) {
			// 0.7.2 answers its web page, with 200, for every GET route it lacks.
			return &Error{Kind: KindUnsupported, Status: status, Detail: "the answer is a web page"}
		}
		return nil
	case status == http.StatusRequestedRangeNotSatisfiable && x.q.bytes != "":
		return nil // files.go reads its Content-Range
	}
	body, err := io.ReadAll(io.LimitReader(x, maxErrorBody))
	if _, typed := errors.AsType[*Error](err); typed && x.caller.Err() != nil {
		return err
	}
	return x.errorOf(status, header, body)
}

// errorOf returns the typed error for a status and its body.
func (x *exchange) errorOf(status int, header http.Header, body []byte) *Error {
	p := parseProblem(header, body)
	e := &Error{Kind: kindOf(status), Status: status, RetryAfter: p.retryAfter, Violations: p.violations, HostKey: p.hostKey}
	switch {
	case status == http.StatusNotFound && (p.text == missingRoute || !p.fromViewer):
		e.Kind = KindUnsupported
	case status == http.StatusServiceUnavailable && p.fromViewer && p.retryAfter == 0:
		e.Kind = KindUnsupported // a Viewer answers so for parts that were not built in
	case status == http.StatusConflict && p.hostKey != nil:
		e.Kind = KindHostKey
	}
	if x.r.refine != nil {
		if kind, ok := x.r.refine(status, p.text); ok {
			e.Kind = kind
		}
	}
	if e.Kind == KindNotFound && x.r.noun != "" {
		e.Resource = x.r.noun
		if len(x.q.ids) > 0 {
			e.ResourceID = x.q.ids[0]
		}
	}
	if x.r.changes() && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) {
		e.Kind = KindOutcomeUnknown // a proxy lost the answer; the request may have arrived
	}
	e.Promoted = e.Kind == KindServer && x.r.noun == nounArtifact && isPromotedText(p.text)
	e.Detail = scrub.Text(p.text, x.q.secrets)
	for i, v := range e.Violations {
		e.Violations[i].Message = scrub.Text(v.Message, x.q.secrets)
	}
	return e
}

// isPage reports whether an answer is a web page rather than data. An HTML file is sent as
// an attachment.
func isPage(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == "text/html" && header.Get("Content-Disposition") == ""
}

// problem is a parsed error body.
type problem struct {
	text       string
	fromViewer bool // it has the form of FastAPI's errors
	retryAfter time.Duration
	violations []Violation
	hostKey    *HostKey
}

// parseProblem parses an error body: detail may be a string, a list of violations or an
// object, and the body may not be JSON (uncaught errors are the plain text "Internal Server
// Error").
func parseProblem(header http.Header, body []byte) problem {
	p := problem{retryAfter: retryAfter(header.Get("Retry-After"))}
	var envelope struct {
		Detail     json.RawMessage `json:"detail"`
		RetryAfter float64         `json:"retry_after"`
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Detail == nil {
		if mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && mediaType == "text/plain" {
			p.text = strings.TrimSpace(string(body))
		}
		return p
	}
	p.fromViewer = true
	if p.retryAfter == 0 && envelope.RetryAfter > 0 && envelope.RetryAfter < maxRetryAfter.Seconds() {
		p.retryAfter = time.Duration(envelope.RetryAfter * float64(time.Second))
	}
	p.readDetail(envelope.Detail)
	return p
}

func (p *problem) readDetail(detail json.RawMessage) {
	if json.Unmarshal(detail, &p.text) == nil {
		return
	}
	var complaints []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	if json.Unmarshal(detail, &complaints) == nil {
		for _, c := range complaints {
			v := Violation{Message: c.Msg}
			for _, step := range c.Loc {
				v.Loc = append(v.Loc, fmt.Sprint(step))
			}
			p.violations = append(p.violations, v)
		}
		p.text = "the request was refused"
		return
	}
	var object struct {
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
		HostKey *HostKey `json:"host_key"`
	}
	if json.Unmarshal(detail, &object) == nil {
		p.text = cmp.Or(object.Message, strings.Join(object.Errors, "; "))
		p.hostKey = object.HostKey
	}
}

// maxRetryAfter is the maximum accepted Retry-After.
const maxRetryAfter = time.Hour

// retryAfter parses a Retry-After header, in seconds or as a date.
func retryAfter(text string) time.Duration {
	if text == "" {
		return 0
	}
	if seconds, err := strconv.Atoi(text); err == nil {
		return min(max(time.Duration(seconds)*time.Second, 0), maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}
