package restclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The Viewer answers 500 to nearly every failure over SSH, and only the text tells them
// apart. The texts were collected from real Viewers of the three generations, whose SSH
// libraries differ: paramiko before 0.7; in 0.7.2 the ssh program of the machine if there
// is one.

// failurePattern is a kind of failure and the Viewer's texts for it, in lower case.
type failurePattern struct {
	kind  Kind
	texts []string
}

// failurePatterns are tried in this order. "Permission denied" has several meanings, so
// those that are not a failed login come first. So do network failures, which ssh reports
// after its warnings.
var failurePatterns = []failurePattern{
	// 0.7.2 keeps its sessions in a folder of /tmp that belongs to the first user.
	{KindSSHPrecondition, []string{"mkdir:"}},
	{KindRemoteRunicorn, []string{"runicorn not installed"}},
	{KindPortTaken, []string{"address already in use", "no available port"}},
	// 0.6.0 and 0.7.2 do not pass the key of the connection to ssh.
	{KindSSHPrecondition, []string{"ssh tunnel failed: ", "openssh tunnel failed"}},
	// the only sign of a taken port in 0.5.3 and 0.6.0
	{KindPortTaken, []string{"ssh tunnel failed to start"}},
	{KindSSHUnreachable, []string{
		"unable to connect to port", "connection refused", "name or service not known", "could not resolve hostname",
		"protocol banner", "name resolution", "no route to host", "network is unreachable", "connection reset",
		"kex_exchange_identification", "not connected to ssh server", "ssh connection is not active",
	}},
	{KindSSHTimeout, []string{"timed out"}},
	// 0.7.2 warns about a missing key file, and is then refused without it.
	{KindSSHKey, []string{"not accessible: no such file"}},
	{KindSSHAuth, []string{
		"authentication failed", "permission denied (", "no authentication methods", "bad authentication type",
	}},
	{KindSSHKey, []string{
		"private key file is encrypted", "checkints do not match", "not a valid", "no such file or directory: '",
		"permission denied: '", "bad decrypt", "could not deserialize key",
	}},
	{KindSSHPrecondition, []string{
		"failed health check", "python3 not found", "failed to start remote viewer: failed to start remote viewer",
		"invalid pid returned", "failed to run python",
	}},
}

// sshFailure classifies failures of calls over SSH. A Viewer that never had a connection
// answers 400 instead of 404.
func sshFailure(status int, detail string) (Kind, bool) {
	text := strings.ToLower(detail)
	switch {
	case status == http.StatusBadRequest && strings.Contains(text, "not initialized"):
		return KindNotFound, true
	case status != http.StatusInternalServerError:
		return 0, false
	}
	// 0.7.2 wraps errors that have their own status.
	_, inner, _ := strings.Cut(text, ": ")
	switch {
	case strings.HasPrefix(inner, "400:"):
		return KindBadRequest, true
	case strings.HasPrefix(inner, "404:"):
		return KindNotFound, true
	}
	for _, s := range failurePatterns {
		for _, part := range s.texts {
			if strings.Contains(text, part) {
				return s.kind, true
			}
		}
	}
	return 0, false
}

// pathFailure classifies failures of reading a remote path.
func pathFailure(status int, detail string) (Kind, bool) {
	switch {
	case status == http.StatusInternalServerError && strings.Contains(detail, "[Errno 2]"):
		return KindNotFound, true
	case status == http.StatusInternalServerError && strings.Contains(detail, "[Errno 13]"):
		return KindForbidden, true
	}
	return sshFailure(status, detail)
}

// silentPeerTimeout is the minimum duration of a failure that was a timeout: 0.5.3 and
// 0.6.0 give up on a silent peer after 15 s, with the same text as for a peer that closed
// the connection at once.
const silentPeerTimeout = 10 * time.Second

// explain adds what is known about the call to its error.
func (q sshCall) explain(err error, took time.Duration) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch {
	case e.Kind == KindNotFound:
		e.Resource, e.ResourceID = q.subject(e.Detail)
	case e.Kind == KindSSHUnreachable && took >= silentPeerTimeout && strings.Contains(e.Detail, "protocol banner"):
		e.Kind = KindSSHTimeout
	}
	if len(q.secrets) > 0 {
		e.Err = safeCause(e.Err)
		return e // unjoined: joined errors are not checked
	}
	return err
}

// subject returns the resource that the Viewer did not find.
func (q sshCall) subject(detail string) (noun, id string) {
	switch {
	case strings.HasPrefix(detail, "Environment"):
		return nounEnvironment, q.environment
	case strings.Contains(detail, "ession") || strings.Contains(detail, "manager"):
		return nounSession, q.session
	case strings.Contains(detail, "[Errno 2]"):
		return nounPath, q.path
	}
	return nounConnection, q.connection
}

var (
	errHiddenCause = errors.New("the cause is not shown, because it may repeat a secret")
	safeCauses     = []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
		errTimeout, errOverLimit, errNotJSON, errEncoded, errBreakerOpen,
	}
)

// safeCause returns the cause if it cannot contain anything that was sent. net/http and the
// JSON decoder quote what they cannot parse, which may be an echo of our own request.
func safeCause(err error) error {
	if err == nil {
		return nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	for _, known := range safeCauses {
		if errors.Is(err, known) {
			return known
		}
	}
	return errHiddenCause
}
