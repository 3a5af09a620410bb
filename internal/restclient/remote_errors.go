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

// The Viewer answers 500 to nearly everything that can go wrong over SSH, and
// only the text tells what it was. The texts were collected from real Viewers
// of the three generations, whose libraries differ: paramiko before 0.7, the
// ssh program of the machine where there is one in 0.7.2.

// failurePattern is a kind of failure and what the Viewer says then, in lower case.
type failurePattern struct {
	kind  Kind
	texts []string
}

// failurePatterns are asked in this order. "Permission denied" has several meanings:
// those that are no failed login come first. So do the failures of the network,
// which ssh tells after its warnings.
var failurePatterns = []failurePattern{
	// 0.7.2 keeps its sessions in a folder of /tmp that the first user owns.
	{KindSSHPrecondition, []string{"mkdir:"}},
	{KindRemoteRunicorn, []string{"runicorn not installed"}},
	{KindPortTaken, []string{"address already in use", "no available port"}},
	// 0.6.0 and 0.7.2 give ssh not the key that they connected with.
	{KindSSHPrecondition, []string{"ssh tunnel failed: ", "openssh tunnel failed"}},
	// 0.5.3 and 0.6.0 say only so where the port is taken.
	{KindPortTaken, []string{"ssh tunnel failed to start"}},
	{KindSSHUnreachable, []string{
		"unable to connect to port", "connection refused", "name or service not known", "could not resolve hostname",
		"protocol banner", "name resolution", "no route to host", "network is unreachable", "connection reset",
		"kex_exchange_identification", "not connected to ssh server", "ssh connection is not active",
	}},
	{KindSSHTimeout, []string{"timed out"}},
	// 0.7.2 warns of a missing key file, and then is refused for want of it.
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

// sshFailure tells the failures of a call over SSH apart. A Viewer that never
// had a connection answers 400 where others say that it is not found.
func sshFailure(status int, detail string) (Kind, bool) {
	text := strings.ToLower(detail)
	switch {
	case status == http.StatusBadRequest && strings.Contains(text, "not initialized"):
		return KindNotFound, true
	case status != http.StatusInternalServerError:
		return 0, false
	}
	// 0.7.2 wraps errors that have a status of their own.
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

// pathFailure tells the failures of looking at a remote path apart.
func pathFailure(status int, detail string) (Kind, bool) {
	switch {
	case status == http.StatusInternalServerError && strings.Contains(detail, "[Errno 2]"):
		return KindNotFound, true
	case status == http.StatusInternalServerError && strings.Contains(detail, "[Errno 13]"):
		return KindForbidden, true
	}
	return sshFailure(status, detail)
}

// silentPeerTimeout is how long a peer that says nothing is waited for, at least:
// 0.5.3 and 0.6.0 give up after 15 s. Their text is that of a peer that hung
// up at once.
const silentPeerTimeout = 10 * time.Second

// explain completes the error of a call over SSH.
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
		return e // alone: what it was joined with is not checked
	}
	return err
}

// subject says what the Viewer did not find.
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

// safeCause keeps a cause that cannot hold anything that was sent. Others
// can: net/http and the JSON decoder quote what they do not understand, which
// may be our own request, come back.
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
