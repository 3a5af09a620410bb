package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// authority is a host with its port, which may be empty.
type authority struct {
	host string // in lower case, without brackets and without a final dot
	port string
}

// parseAuthority reads a Host header or an entry of --allowed-hosts.
func parseAuthority(text string) (a authority, ok bool) {
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return a, false
		}
		ip, err := netip.ParseAddr(text[1:end])
		if err != nil || !ip.Is6() {
			return a, false
		}
		a.host = ip.String()
		return a, a.setPort(text[end+1:])
	}
	name := text
	if i := strings.IndexByte(text, ':'); i >= 0 {
		name = text[:i]
		if !a.setPort(text[i:]) {
			return a, false
		}
	}
	a.host = strings.TrimSuffix(strings.ToLower(name), ".")
	return a, a.host != "" && !strings.HasSuffix(a.host, ".") && !strings.ContainsAny(a.host, "/\\@?#%[] \t\r\n\x00")
}

// setPort parses ":" and digits; an empty text is no port.
func (a *authority) setPort(text string) bool {
	if text == "" {
		return true
	}
	port, found := strings.CutPrefix(text, ":")
	if !found || len(port) == 0 || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return false
	}
	a.port = port
	return true
}

// String returns the authority with its port, if it has one.
func (a authority) String() string {
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port == "" {
		return host
	}
	return host + ":" + a.port
}

// webOrigin is the origin of a web page.
type webOrigin struct {
	scheme string
	authority
}

// defaultPorts are the ports that browsers omit in Host and Origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// parseOrigin parses an Origin header or an entry of --cors-origins. It rejects "null",
// which sandboxed and local pages share.
func parseOrigin(text string) (o webOrigin, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Opaque != "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return o, false
	}
	o.scheme = strings.ToLower(u.Scheme)
	if o.authority, ok = parseAuthority(u.Host); !ok {
		return o, false
	}
	if o.port == defaultPorts[o.scheme] {
		o.port = ""
	}
	return o, true
}

// String returns the origin in canonical form.
func (o webOrigin) String() string { return o.scheme + "://" + o.authority.String() }

// isSameOrigin reports whether a page of this origin came from the server that the
// request is for. If this server has no TLS, the page may still have been loaded by
// https, through a proxy that terminates TLS.
func (o webOrigin) isSameOrigin(r *http.Request) bool {
	if o.scheme != "https" && (o.scheme != "http" || r.TLS != nil) {
		return false
	}
	host, ok := parseAuthority(r.Host)
	if host.port == defaultPorts[o.scheme] {
		host.port = ""
	}
	return ok && host == o.authority
}
