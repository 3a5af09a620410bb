package interceptor

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// bearing is the context of a request with a token.
func (a *Authorizer) bearing(ctx context.Context, token string) context.Context {
	return a.Identify(ctx, []string{"Bearer " + token}, nil)
}

func TestATokenIsValidUntilItExpiresAndItsCallsEndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth, soon := &Authorizer{}, time.Now().Add(time.Minute)
		auth.SetTokens([]Token{{Role: RoleRead, Token: "t", Expires: soon}})
		life := auth.known()[0].life
		if err := Admit(auth.bearing(t.Context(), "t")); err != nil {
			t.Fatal(err)
		}
		auth.SetTokens([]Token{{Role: RoleRead, Hash: sha256.Sum256([]byte("t")), Name: "ann", Expires: soon.Add(time.Minute)}})
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if life.ctx.Err() != nil {
			t.Error("a later expiry, a name and a hash in the place of the token end its calls")
		}
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		apierrtest.WantError(t, status.Convert(Admit(auth.bearing(t.Context(), "t"))).Err(), codes.Unauthenticated, "TOKEN_INVALID")
		if cause := context.Cause(life.ctx); cause == nil || cause.Error() != errExpired.Error() {
			t.Errorf("its calls end by %v", cause)
		}
		auth.SetTokens([]Token{{Role: RoleRead, Token: "t"}})
		if Admit(auth.bearing(t.Context(), "t")) != nil || auth.known()[0].ctx.Err() != nil {
			t.Error("a line without an expiry does not make it valid again")
		}
	})
}

func TestOtherViewersChangeTheAuthority(t *testing.T) {
	auth := &Authorizer{}
	for i, viewers := range [][]string{nil, {"lab"}, {"lab", "gpu1"}, {"gpu1"}} {
		old := auth.known()
		auth.SetTokens([]Token{{Role: RoleRead, Token: "t", Viewers: viewers}})
		if i > 0 && old[0].ctx.Err() == nil {
			t.Errorf("calls continue with %q", viewers)
		}
		ctx := auth.bearing(t.Context(), "t")
		if got, want := fleet.Visible(ctx, "gpu1.s"), i != 1; got != want {
			t.Errorf("%q sees gpu1: %v", viewers, got)
		}
		if err := AdmitToAll(ctx); (err == nil) != (viewers == nil) {
			t.Errorf("%q: %v", viewers, err)
		}
	}
	if fleet.Visible(auth.bearing(t.Context(), "wrong"), "gpu1") {
		t.Error("an unknown token sees a Viewer")
	}
}

func TestAnyNameInACertificateMayMatchALine(t *testing.T) {
	id := &url.URL{Scheme: "spiffe", Host: "lab", Path: "/ann"}
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ann"}, DNSNames: []string{"PC.lab"}, EmailAddresses: []string{"a@lab"}, URIs: []*url.URL{id}, NotAfter: time.Now().Add(time.Hour),
	}
	for name, want := range map[string]bool{
		"CN=ann": true, "DNS=pc.lab": true, "EMAIL=a@lab": true, "URI=spiffe://lab/ann": true,
		"CN=Ann": false, "CN=": false, "DNS=ann": false, "CN=pc.lab": false, "": false,
	} {
		auth := &Authorizer{}
		auth.SetTokens([]Token{{Role: RoleRead, Token: "t"}, {Role: RoleWrite, Cert: name}})
		c := auth.identify(nil, cert)
		if (c.err == nil) != want {
			t.Errorf("%s: %v", name, c.err)
		}
		if c := auth.identify([]string{"Bearer wrong"}, cert); c.err == nil {
			t.Errorf("%s: a wrong token beside the certificate is let in", name)
		}
	}
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleRead, Cert: "CN=ann"}})
	cert.NotAfter = time.Now().Add(-time.Second)
	if c := auth.identify(nil, cert); c.err == nil || !strings.Contains(c.err.Error(), "expired") {
		t.Errorf("an expired certificate: %v", c.err)
	}
	nameless := &x509.Certificate{NotAfter: time.Now().Add(time.Hour)}
	if c := auth.identify(nil, nameless); c.err == nil {
		t.Error("a certificate without a name is let in")
	}
}

func TestTap_LimitsTheCallsOfEachTokenSeparately(t *testing.T) {
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleRead, Token: "greedy"}, {Role: RoleRead, Token: "modest"}})
	client := serveTapped(t, &tapped{}, &Tap{Auth: auth, Pending: NewPending(), MaxCalls: 10, PerToken: TokenLimits{Calls: 1, Streams: 2, Exports: 1}}, nil)
	open := func(token string) (context.CancelFunc, error) {
		ctx, cancel := context.WithCancel(withBearer(t.Context(), token))
		t.Cleanup(cancel)
		stream, err := client.StreamMetrics(ctx, someRun)
		if err == nil {
			_, err = stream.Recv()
		}
		return cancel, err
	}
	end, err := open("greedy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open("greedy"); err != nil {
		t.Fatal(err)
	}
	_, err = open("greedy")
	apierrtest.WantError(t, err, codes.ResourceExhausted, "SERVER_LIMIT")
	hasRetry := false
	for _, d := range status.Convert(err).Details() {
		_, is := d.(*errdetails.RetryInfo)
		hasRetry = hasRetry || is
	}
	if !hasRetry || !strings.Contains(err.Error(), "2 streams of this token") {
		t.Errorf("without a time to try again: %v", err)
	}
	if _, err := open("modest"); err != nil {
		t.Errorf("another token: %v", err)
	}
	end()
	for _, err = open("greedy"); err != nil; _, err = open("greedy") {
		apierrtest.WantError(t, err, codes.ResourceExhausted, "SERVER_LIMIT")
	}
}

func TestEachKindOfCallOfATokenHasItsLimit(t *testing.T) {
	limits := TokenLimits{Calls: 1, Streams: 1, Exports: 1}
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleRead, Token: "t"}})
	who, nobody := auth.identify([]string{"Bearer t"}, nil), (&Authorizer{}).identify(nil, nil)
	for _, method := range []string{
		runicornapiv1.ViewerService_ListViewers_FullMethodName, runicornapiv1.MetricService_TailMetrics_FullMethodName,
		runicornapiv1.ExperimentService_ExportExperiment_FullMethodName,
	} {
		open, err := limits.reserve(who, method)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if _, err := limits.reserve(who, method); err == nil {
			t.Errorf("%s: one too many is let in", method)
		}
		open.Add(-1)
		if _, err := limits.reserve(who, method); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range []string{"/grpc.health.v1.Health/Check", flightService + "DoGet"} {
		if open, err := limits.reserve(who, method); open != nil || err != nil {
			t.Errorf("%s is counted: %v", method, err)
		}
	}
	if open, err := limits.reserve(nobody, runicornapiv1.ViewerService_ListViewers_FullMethodName); open != nil || err != nil {
		t.Errorf("a call is counted where there are no tokens: %v", err)
	}
}

// TestChain_EnforcesLimitsWithoutATap covers servers that have the interceptors only.
func TestChain_EnforcesLimitsWithoutATap(t *testing.T) {
	auth := &Authorizer{}
	auth.SetTokens([]Token{{Role: RoleAdmin, Token: "t", Viewers: []string{"lab"}}})
	ctx := incoming(t.Context(), "t")
	_, err := auth.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: runicornapiv1.ViewerService_ListViewers_FullMethodName}, func(ctx context.Context, _ any) (any, error) {
		if fleet.Visible(ctx, "gpu1") || !fleet.Visible(ctx, "lab") {
			t.Error("the method sees other Viewers")
		}
		return nil, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// incoming is the context of a call with a token.
func incoming(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}
