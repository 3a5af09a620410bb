package restclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// Kind classifies a failure. The kinds are the error hierarchy of the documented Python
// client, split further where callers have to act differently.
type Kind uint8

// The kinds of failure.
const (
	// KindUnreachable: refused, reset, no such host, 502. A ConnectionError.
	KindUnreachable Kind = iota + 1
	// KindTimeout: the Viewer was slower than our limit, or 408 or 504.
	KindTimeout
	// KindCanceled: the caller canceled or its deadline passed; Err says which.
	KindCanceled
	// KindOutcomeUnknown: a change was sent and its answer did not arrive.
	KindOutcomeUnknown
	// KindNotFound: 404 of a resource; Resource and ResourceID name it.
	KindNotFound
	// KindBadRequest: 400, 422 and the remaining 4xx.
	KindBadRequest
	// KindAuth: 401 and 407. An AuthenticationError.
	KindAuth
	// KindForbidden: 403.
	KindForbidden
	// KindHostKey: 409 with a host key to confirm, which is in HostKey.
	KindHostKey
	// KindConflict: any other 409.
	KindConflict
	// KindTooLarge: 413, or an answer above our limit.
	KindTooLarge
	// KindRateLimited: 429.
	KindRateLimited
	// KindUnsupported: this Viewer has no such route or was built without it.
	KindUnsupported
	// KindServer: 500 and the remaining 5xx. A ServerError.
	KindServer
	// KindMalformed: a success status with an invalid body.
	KindMalformed
	// KindCutOff: the body ended early, after BytesDelivered bytes.
	KindCutOff
	// KindSSHAuth: the remote host refused the login.
	KindSSHAuth
	// KindSSHUnreachable: the remote host refused the connection or has no address.
	KindSSHUnreachable
	// KindSSHTimeout: the remote host did not answer in time.
	KindSSHTimeout
	// KindSSHPrecondition: the remote host lacks what is needed, such as runicorn itself.
	KindSSHPrecondition
	// KindSSHKey: the private key, or its passphrase, cannot be used.
	KindSSHKey
	// KindRemoteRunicorn: the Python of the remote host has no runicorn.
	KindRemoteRunicorn
	// KindPortTaken: a port that a remote Viewer or its tunnel needs is taken.
	KindPortTaken
)

var kindNames = [...]string{
	KindUnreachable:     "viewer unreachable",
	KindTimeout:         "viewer too slow",
	KindCanceled:        "call given up by the caller",
	KindOutcomeUnknown:  "outcome unknown",
	KindNotFound:        "not found",
	KindBadRequest:      "bad request",
	KindAuth:            "authentication required by the viewer",
	KindForbidden:       "forbidden by the viewer",
	KindHostKey:         "host key not confirmed",
	KindConflict:        "conflict",
	KindTooLarge:        "too large",
	KindRateLimited:     "rate limited by the viewer",
	KindUnsupported:     "not supported by this viewer",
	KindServer:          "viewer error",
	KindMalformed:       "malformed answer",
	KindCutOff:          "answer cut off",
	KindSSHAuth:         "ssh login refused",
	KindSSHUnreachable:  "ssh host unreachable",
	KindSSHTimeout:      "ssh host too slow",
	KindSSHPrecondition: "remote host not prepared",
	KindSSHKey:          "ssh key unusable",
	KindRemoteRunicorn:  "runicorn missing on the remote host",
	KindPortTaken:       "port taken",
}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// Error is a failed call to the Viewer. It contains no secret, no absolute path and no URL,
// so it may be shown; only Err may contain the address.
type Error struct {
	Kind Kind
	// Viewer is the Config.Name of the client.
	Viewer string
	// Status is the HTTP status, 0 where none arrived.
	Status int
	// Method and Route are the operation; Route is the template, without ids.
	Method, Route string
	// Capability is the requested capability.
	Capability Capability
	// Address is the Viewer's address, for KindUnreachable.
	Address string
	// Action is what the Viewer cannot do without the capability, and Alternative what the
	// caller can do instead.
	Action, Alternative string
	// ViewerVersion is the version that the Viewer reports, if known. 0.5.3 reports 0.5.2.
	ViewerVersion string
	// Detail is the Viewer's own text, scrubbed and truncated.
	Detail string
	// RetryAfter is how long to wait, 0 if unknown.
	RetryAfter time.Duration
	// Violations are the invalid fields that a 422 lists.
	Violations []Violation
	// Resource and ResourceID name the missing resource, such as run and its id.
	Resource, ResourceID string
	// HostKey is the key to confirm, for KindHostKey.
	HostKey *HostKey
	// Promoted reports, for KindServer, that the artifact version was promoted: 0.5.3 can
	// no longer read the details and files of such a version.
	Promoted bool
	// BytesDelivered is the number of body bytes received, for KindCutOff.
	BytesDelivered int64
	// Err is the cause: a transport or decoding error, or the caller's own
	// context error, which errors.Is finds.
	Err error
}

// NotFound returns the error for something that a Viewer does not have. Detail may be empty.
func NotFound(viewer, resource, id, detail string) error {
	return &Error{Kind: KindNotFound, Viewer: viewer, Resource: resource, ResourceID: id, Detail: detail}
}

// Violation is one invalid field of a 422. The refused input, which the Viewer echoes, is
// not kept: it may be a password.
type Violation struct {
	// Loc is the path of the field, such as body, run_ids, 0.
	Loc []string
	// Message is for display.
	Message string
}

// HostKey is an SSH host key that the Viewer wants confirmed.
type HostKey struct {
	Host           string `json:"host"`
	Port           int    `json:"port"`
	KnownHostsHost string `json:"known_hosts_host"`
	KeyType        string `json:"key_type"`
	Fingerprint    string `json:"fingerprint_sha256"`
	PublicKey      string `json:"public_key"`
	// Reason is unknown or changed.
	Reason string `json:"reason"`
	// ExpectedFingerprint is given for most changed keys; 0.7.2 leaves it out
	// when the key's type is new.
	ExpectedFingerprint string `json:"expected_fingerprint_sha256"`
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", e.Method, e.Route, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	for _, v := range e.Violations {
		fmt.Fprintf(&b, "; %s: %s", strings.Join(v.Loc, "."), v.Message)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsKind reports whether err is an *Error of a kind.
func IsKind(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}

// newError makes an error of an operation.
func (c *Client) newError(name Capability, kind Kind, err error) *Error {
	r := routes[name]
	return &Error{Kind: kind, Viewer: c.cfg.Name, Method: r.method, Route: r.path, Capability: name, Err: err}
}

// refused returns the error for an answer with a success status whose body reports a
// failure. The text is the Viewer's.
func (c *Client) refused(q call, kind Kind, text string) *Error {
	e := c.newError(q.cap, kind, nil)
	e.Status, e.Detail = 200, scrub.Text(text, q.secrets)
	return e
}
