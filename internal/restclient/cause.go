package restclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Cause says in a few words why a Viewer cannot be reached; it may be empty.
func (e *Error) Cause() string { cause, _ := e.explain(); return cause }

// Advice says what the operator of this server can do about the error; it may be empty.
func (e *Error) Advice() string { _, advice := e.explain(); return advice }

func (e *Error) explain() (cause, advice string) {
	const start = "start it with `runicorn viewer`, or give another address with --viewer"
	if strings.Contains(e.Viewer, ".") { // tunneled: its address is in no flag
		return e.cause(), ""
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](e.Err)
	switch {
	case e.Kind == KindAuth:
		return "", "give the Authorization header that it wants with --viewer-auth"
	case e.Kind != KindUnreachable:
		return "", ""
	case errors.Is(e.Err, errNotViewer):
		return "", "give the address of a Viewer with --viewer"
	case untrusted:
		return e.cause(), "give the certificate of its CA with --viewer-ca"
	}
	return e.cause(), start
}

// cause describes the transport error.
func (e *Error) cause() string {
	dns, isDNS := errors.AsType[*net.DNSError](e.Err)
	timeout, isNet := errors.AsType[net.Error](e.Err)
	unknownCA, isUnknownCA := errors.AsType[x509.UnknownAuthorityError](e.Err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](e.Err)
	switch {
	case errors.Is(e.Err, errBreakerOpen), errors.Is(e.Err, syscall.ECONNREFUSED):
		return "connection refused"
	case e.Status != 0:
		return "a proxy answers " + http.StatusText(e.Status)
	case isDNS && dns.IsNotFound:
		return "there is no such host"
	case isUnknownCA:
		return unknownCA.Error()
	case isCertificate:
		return certificate.Error()
	case errors.Is(e.Err, syscall.ECONNRESET), errors.Is(e.Err, io.EOF):
		return "the connection was cut"
	case isNet && timeout.Timeout():
		return "no connection in time"
	}
	return ""
}
