package restclient

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// hidden replaces a secret in any output.
const hidden = "<hidden>"

// Secret is a text that is sent to the Viewer and shown nowhere else: printing, logging or
// encoding it gives hidden, or an empty text.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format hides the secret from every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders. The method body builds the request.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maxSecret is the maximum length of a secret in bytes. A private key has 4 KiB.
const maxSecret = 64 << 10

// check refuses a secret that would change in transmission.
func (s Secret) check(field string) error {
	switch {
	case len(s) > maxSecret:
		return &IDError{Field: field, Reason: fmt.Sprintf("must not be longer than %d bytes", maxSecret)}
	case !utf8.ValidString(string(s)):
		return &IDError{Field: field, Reason: "must be valid UTF-8"}
	}
	return nil
}

// Endpoint is a user on an SSH server, as sent to the Viewer.
type Endpoint struct {
	Host string `json:"host"`
	// Port is from 1 to 65535. 0.7.2 answers "connected" for other numbers.
	Port     int    `json:"port"`
	Username string `json:"username"`
}

// Login has the credentials for an SSH server. While a connection to the same endpoint is
// open, Viewers of all generations use it and ignore the credentials.
type Login struct {
	Endpoint
	// Password, if set, keeps 0.7.2 from trying a key.
	Password Secret
	// PrivateKey is a PEM or OpenSSH key.
	PrivateKey Secret
	// PrivateKeyPath is a file on the Viewer's machine.
	PrivateKeyPath Secret
	Passphrase     Secret
	// UseAgent lets the Viewer use its SSH agent.
	UseAgent bool
}

// ID returns the id of the connection to the endpoint, user@host:port.
func (e Endpoint) ID() string { return fmt.Sprintf("%s@%s:%d", e.Username, e.Host, e.Port) }

// SavedID returns the id of the saved connection, host:port@user.
func (e Endpoint) SavedID() string { return fmt.Sprintf("%s:%d@%s", e.Host, e.Port, e.Username) }

// ParseConnectionID parses the id of a connection.
func ParseConnectionID(id string) (Endpoint, error) {
	at, colon := strings.LastIndexByte(id, '@'), strings.LastIndexByte(id, ':')
	if at < 0 || colon < at {
		return Endpoint{}, &IDError{Field: "connection_id", Reason: "must be user@host:port"}
	}
	port, err := strconv.ParseUint(id[colon+1:], 10, 16)
	if err != nil {
		return Endpoint{}, &IDError{Field: "connection_id", Reason: "must end in a port"}
	}
	e := Endpoint{Host: id[at+1 : colon], Port: int(port), Username: id[:at]}
	return e, e.check()
}

// check refuses invalid host and user names. 0.7.2 passes both to the ssh program, which
// would treat a leading dash as an option.
func (e Endpoint) check() error {
	return cmp.Or(checkName("host", e.Host, "@,/"), checkName("username", e.Username, ","), checkPort("port", e.Port))
}

// checkName refuses a host or user name that a program could misinterpret.
func checkName(field, name, not string) error {
	if err := checkText(field, name); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(name, unicode.IsSpace):
		return &IDError{Field: field, Reason: "must not hold spaces"}
	case strings.HasPrefix(name, "-"):
		return &IDError{Field: field, Reason: "must not begin with a dash"}
	case strings.ContainsAny(name, not+quotes+`\`+"$;|&<>"):
		return &IDError{Field: field, Reason: "must not hold quotes or signs of a shell"}
	}
	return nil
}

// check refuses a login that the Viewer would misinterpret.
func (l Login) check() error {
	err := cmp.Or(
		l.Endpoint.check(),
		l.Password.check("password"),
		l.PrivateKey.check("private_key"),
		l.PrivateKeyPath.check("private_key_path"),
		l.Passphrase.check("passphrase"),
	)
	if err == nil && strings.ContainsFunc(string(l.PrivateKeyPath), scrub.IsControl) {
		return &IDError{Field: "private_key_path", Reason: "must not hold control characters"}
	}
	return err
}

// loginBody is a login as sent to the Viewer.
type loginBody struct {
	Endpoint
	Password       string `json:"password,omitempty"`
	PrivateKey     string `json:"private_key,omitempty"`
	PrivateKeyPath string `json:"private_key_path,omitempty"`
	Passphrase     string `json:"passphrase,omitempty"`
	UseAgent       bool   `json:"use_agent"`
}

// body returns the login as sent to the Viewer.
func (l Login) body() loginBody {
	return loginBody{
		Endpoint: l.Endpoint, UseAgent: l.UseAgent,
		Password: string(l.Password), PrivateKey: string(l.PrivateKey),
		PrivateKeyPath: string(l.PrivateKeyPath), Passphrase: string(l.Passphrase),
	}
}

// secrets returns the texts that answers must not repeat, in all encodings in which a
// program may repeat them. The longest comes first, so that none leaves a part of another.
func (l Login) secrets() []string {
	var out []string
	for _, s := range []Secret{l.Password, l.PrivateKey, l.PrivateKeyPath, l.Passphrase} {
		if s != "" {
			out = append(out, forms(string(s))...)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}

// minLine is the minimum length of a line of a secret that is hidden by itself.
const minLine = 8

// forms returns a text and its longer lines as Python, JSON, Go and URLs write them.
func forms(s string) []string {
	quoted, ascii := strconv.Quote(s), strconv.QuoteToASCII(s)
	encoded, err := json.Marshal(s)
	if err != nil {
		encoded = []byte(quoted) // a string always encodes
	}
	out := []string{
		s, strings.TrimSpace(s), quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1], string(encoded[1 : len(encoded)-1]),
		strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, `'`, `\'`).Replace(s),
		strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s),
		url.QueryEscape(s), url.PathEscape(s),
	}
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); len(line) >= minLine && line != s {
			out = append(out, line)
		}
	}
	return out
}
