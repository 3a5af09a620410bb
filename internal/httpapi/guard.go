package httpapi

import (
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/netaddr"
)

// The headers that a page of an allowed origin may send and read, and its methods.
const (
	corsMethods = "GET, HEAD, POST, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, Grpc-Timeout, If-Range, Last-Event-ID, Range, Traceparent, Tracestate"
	corsExposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After"
)

// guard wraps every handler. On loopback there are no tokens. Without the guard, any page
// in the user's browser could purge runs or open SSH connections: by a form, by fetch, or
// by a host name that resolves to 127.0.0.1 (DNS rebinding).
type guard struct {
	hosts   map[string]bool // "name" or "name:port", in lower case
	origins map[string]bool // in canonical form
	log     *slog.Logger
	// allowLog reports whether one more refusal may be logged.
	allowLog func() bool
	next     http.Handler
}

func newGuard(cfg Config, next http.Handler) (*guard, error) {
	g := &guard{hosts: map[string]bool{}, origins: map[string]bool{}, log: cfg.Log, allowLog: cfg.AllowLog, next: next}
	for _, entry := range cfg.AllowedHosts {
		a, err := parseAllowedHost(entry)
		if err != nil {
			return nil, err
		}
		g.hosts[a.String()] = true
	}
	for _, entry := range cfg.CORSOrigins {
		o, err := parseCORSOrigin(entry)
		if err != nil {
			return nil, err
		}
		g.origins[o.String()] = true
	}
	return g, nil
}

// CheckAllowedHost returns an error for an invalid entry of Config.AllowedHosts.
func CheckAllowedHost(entry string) error {
	_, err := parseAllowedHost(entry)
	return err
}

// CheckCORSOrigin returns an error for an invalid entry of Config.CORSOrigins.
func CheckCORSOrigin(entry string) error {
	_, err := parseCORSOrigin(entry)
	return err
}

func parseAllowedHost(entry string) (authority, error) {
	a, ok := parseAuthority(entry)
	if !ok || strings.Contains(a.host, "*") {
		return a, fmt.Errorf("allowed host %q: must be NAME or NAME:PORT", entry)
	}
	return a, nil
}

func parseCORSOrigin(entry string) (webOrigin, error) {
	o, ok := parseOrigin(entry)
	if !ok || defaultPorts[o.scheme] == "" || strings.Contains(o.host, "*") {
		return o, fmt.Errorf("CORS origin %q: must be SCHEME://NAME or SCHEME://NAME:PORT, such as https://example.org", entry)
	}
	return o, nil
}

// ServeHTTP refuses the request, answers a preflight, or calls the next handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Add("Vary", "Origin")

	cors, f := g.check(r)
	if f != nil {
		g.logRefusal(r, f)
		writeError(w, f)
		return
	}
	if cors != "" {
		h.Set("Access-Control-Allow-Origin", cors)
		h.Set("Access-Control-Expose-Headers", corsExposed)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			preflight(w, r)
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// logRefusal logs a refused request, within the rate limit.
func (g *guard) logRefusal(r *http.Request, f *apiError) {
	if !g.allowLog() {
		return
	}
	g.log.InfoContext(r.Context(), "request refused",
		slog.Int("status", f.httpStatus), slog.String("peer", r.RemoteAddr), slog.String("method", forLog(r.Method)), slog.String("path", forLog(r.URL.Path)),
		slog.String("host", forLog(r.Host)), slog.String("origin", forLog(r.Header.Get("Origin"))))
}

// maxLogged is the maximum length in bytes of a caller's text in the log.
const maxLogged = 128

// forLog limits a text of a caller.
func forLog(text string) string {
	if len(text) > maxLogged {
		return text[:maxLogged] + "…"
	}
	return text
}

// check returns the allowed foreign origin that may read the response, empty for other
// callers, or the error with which the request is refused.
func (g *guard) check(r *http.Request) (cors string, f *apiError) {
	if !g.hostAllowed(r.Host) {
		return "", refusal(http.StatusMisdirectedRequest, "--allowed-hosts",
			fmt.Sprintf("host %q is not a name of this server; the server's operator can add it with --allowed-hosts", r.Host))
	}
	origin, known, f := g.origin(r)
	if f != nil {
		return "", f
	}
	if !known && fromOtherSite(r) {
		return "", refusal(http.StatusForbidden, "--cors-origins",
			"web pages of other sites may not call this server; the server's operator can allow their origin with --cors-origins")
	}
	return origin, checkContentType(r)
}

// hostAllowed reports whether the host is loopback or an allowed name.
func (g *guard) hostAllowed(host string) bool {
	a, ok := parseAuthority(host)
	return ok && (netaddr.IsLoopback(a.host) || g.hosts[a.host] || g.hosts[a.String()])
}

// origin returns the request's origin if it is a foreign one that is allowed.
// Known is true then.
func (g *guard) origin(r *http.Request) (origin string, known bool, f *apiError) {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return "", false, nil
	}
	o, ok := parseOrigin(values[0]) // rejects "null"
	switch {
	case len(values) > 1 || !ok:
	case o.isSameOrigin(r):
		return "", false, nil
	case g.origins[o.String()]:
		return values[0], true, nil
	}
	return "", false, refusal(http.StatusForbidden, "--cors-origins",
		fmt.Sprintf("origin %q may not call this server; the server's operator can allow it with --cors-origins", strings.Join(values, ", ")))
}

// fromOtherSite reports whether the browser says that another site caused the request.
// same-site is another port of this host, such as a notebook's. Reads are refused too,
// because some are expensive for a Viewer and some open SSH connections. Only a link that
// a user follows to a page or a download is accepted.
func fromOtherSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
	default:
		return false
	}
	isLink := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return !isLink || (r.Method != http.MethodGet && r.Method != http.MethodHead)
}

// checkContentType refuses bodies that are not JSON. Pages can send some other types
// (forms, text/plain) without a preflight, so an unsafe method is refused with such a
// type even if the body is empty.
func checkContentType(r *http.Request) *apiError {
	contentType := r.Header.Get("Content-Type")
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if r.ContentLength == 0 && (safe || contentType == "") {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset, hasCharset := params["charset"]
	encoding := r.Header.Get("Content-Encoding")
	switch {
	case err != nil || mediaType != "application/json":
		return unsupported(violation("Content-Type", "must be application/json"))
	case hasCharset && !strings.EqualFold(charset, "utf-8"):
		return unsupported(violation("Content-Type", "must have the charset utf-8, or none"))
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return unsupported(violation("Content-Encoding", "is not supported"))
	}
	return nil
}

// preflight answers a preflight request of an allowed origin.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
}

// refusal is the error for a caller that the operator could allow.
func refusal(httpStatus int, flag, message string) *apiError {
	return newAPIError(httpStatus, codes.PermissionDenied, runicornapiv1.ErrorReason_ERROR_REASON_FEATURE_DISABLED,
		message, map[string]string{"flag": flag})
}

// unsupported refuses a body of another type than JSON.
func unsupported(v *errdetails.BadRequest_FieldViolation) *apiError {
	f := invalid(v)
	f.httpStatus = http.StatusUnsupportedMediaType
	return f
}
