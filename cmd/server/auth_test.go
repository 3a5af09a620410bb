package main

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

func TestErrorsOfTheTokenFileNameLinesAndNeverTokens(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, want string
	}{
		{"nothing at all", "", "holds no token"},
		{"only comments", "# read canary\n\n", "holds no token"},
		{"a token without a role", "canary\n", "line 1: want a role and a token"},
		{"a role whose token is a comment", "read #canary\n", "line 1: want a role and a token"},
		{"three words", "# x\nread canary canary\n", "line 2: word 3: want name=, expires= or viewers="},
		{"an unknown role", "canary other\n", "line 1: the role must be read, write or admin"},
		{"a role in capitals", "READ canary\n", "line 1: the role must be read, write or admin"},
		{"a token twice", "read canary\n\nadmin canary\n", "line 3: has the same token as line 1"},
		{"a token that no header can carry", "read canär-canary\n", "line 1: the token has a character that is not allowed in a header"},
		{"a token and its hash", "read canary-1\nread sha256:" + hashOf("canary-1"), "line 2: has the same token as line 1"},
		{"a hash that is none", "read sha256:canary", "line 1: want sha256: and 64 hexadecimal digits"},
		{"a certificate without a name", "read cert:CN=", "line 1: want cert: with CN="},
		{"a certificate by what it has not", "read cert:OU=canary", "line 1: want cert: with CN="},
		{"a badly escaped name", "read cert:CN=canary%2", "line 1: want cert: with CN="},
		{"a certificate twice", "read cert:DNS=A.canary\nread cert:DNS=a.canary", "line 2: has the same token as line 1"},
		{"a name with a sign", "read canary name=a/canary", "line 1: word 3: name=: want letters"},
		{"a name twice", "read canary name=a name=b", "line 1: word 4: name= is given twice"},
		{"a day that is none", "read canary expires=canary", "line 1: word 3: expires=: want the last day"},
		{"an unknown viewer", "read canary name=a viewers=lab,canary", "line 1: word 4: viewers=: name 2 is not the name of a --viewer; want some of lab,gpu1"},
		{"a remote viewer", "read canary viewers=lab.canary", "name 1 is not the name of a --viewer"},
		{"no viewer", "read canary viewers=", "name 1 is not the name of a --viewer"},
		{"an unknown option", "read canary role=canary", "line 1: word 3: want name=, expires= or viewers="},
		{"a line without an end", strings.Repeat("canary", 20_000), "token too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := readTokens(strings.NewReader(tc.text), []string{"lab", "gpu1"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a token: %v", err)
			}
		})
	}
}

func TestTheTokenFileHoldsARoleAndATokenPerLine(t *testing.T) {
	t.Parallel()
	got, err := readTokens(strings.NewReader("# who\r\nread  a#1 # the board\r\n\r\n\tadmin\tb== #me\n  # end\nwrite c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []interceptor.Token{{Role: interceptor.RoleRead, Token: "a#1"}, {Role: interceptor.RoleAdmin, Token: "b=="}, {Role: interceptor.RoleWrite, Token: "c"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// hashOf is a token as the token file may have it.
func hashOf(token string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(token)))
}

func TestALineOfTheTokenFileMaySayWhoseTokenItIsUntilWhenAndForWhat(t *testing.T) {
	t.Parallel()
	got, err := readTokens(strings.NewReader("read sha256:"+strings.ToUpper(hashOf("secret"))+" name=ann@lab viewers=lab,gpu1 expires=2027-01-31 # until then\n"+
		"write cert:CN=Ann%20Lee expires=2027-01-31T18:00:00+01:00\nadmin cert:DNS=GPU.example\nread cert:URI=spiffe://lab/ann viewers=lab\n"), []string{"lab", "gpu1"})
	if err != nil {
		t.Fatal(err)
	}
	want := []interceptor.Token{
		{Role: interceptor.RoleRead, Hash: sha256.Sum256([]byte("secret")), Name: "ann@lab", Viewers: []string{"lab", "gpu1"}, Expires: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)},
		{Role: interceptor.RoleWrite, Cert: "CN=Ann Lee", Expires: time.Date(2027, 1, 31, 17, 0, 0, 0, time.UTC)},
		{Role: interceptor.RoleAdmin, Cert: "DNS=gpu.example"},
		{Role: interceptor.RoleRead, Cert: "URI=spiffe://lab/ann", Viewers: []string{"lab"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAReloadWithABadLineKeepsTheOldTokensAndWarnsOnce(t *testing.T) {
	t.Parallel()
	path, log := file(t, "tokens", "read canary-canary-canary\n"), newOutput()
	auth, tokens, err := newAuthorizer(&Config{AuthTokenFile: path}, []string{"lab"}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	admits := func(token string) bool {
		return interceptor.Admit(auth.Identify(t.Context(), []string{"Bearer " + token}, nil)) == nil
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens.reload()
		tokens.reload()
	}
	write("read canary-canary-canary\nread other-canary-canary viewers=nowhere-canary\n")
	if !admits("canary-canary-canary") || admits("other-canary-canary") {
		t.Error("the old table does not stand")
	}
	if received := log.String(); strings.Count(received, "the old tokens stay") != 1 || !strings.Contains(received, "line 2: word 3: viewers=") || strings.Contains(received, "canary") {
		t.Errorf("the log: %s", received)
	}
	write("read other-canary-canary viewers=lab\n")
	if admits("canary-canary-canary") || !admits("other-canary-canary") || !strings.Contains(log.String(), "token file reloaded") {
		t.Errorf("the new table does not stand: %s", log)
	}
}

func TestATokenFileThatOtherUsersCanReadCausesAWarning(t *testing.T) {
	t.Parallel()
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: true, 0o604: true} {
		path := file(t, "tokens", "read canary-canary-canary\n")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		log := newOutput()
		if _, _, err := newAuthorizer(&Config{AuthTokenFile: path}, nil, slog.New(slog.NewTextHandler(log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "chmod 600"); got != warned || strings.Contains(log.String(), "canary") {
			t.Errorf("mode %v: %s", mode, log)
		}
	}
}

func TestTokensAndRolesGiveTheSameAnswersOverGRPCAndHTTP(t *testing.T) {
	t.Parallel()
	tokens := file(t, "tokens", "read r-token\nwrite w-token\nadmin a-token\n")
	p := start(t, "--viewer="+newViewer(t, demotest.Gen07).URL, "--auth-token-file="+tokens, "--log-level=debug")
	conn, client := p.dial(t), plainClient(t)
	// RemoteService is all admin's, the list anybody's with a token.
	for _, tc := range []struct {
		token                string
		list, remote         codes.Code
		listHTTP, remoteHTTP int
		reason               string
	}{
		{"", codes.Unauthenticated, codes.Unauthenticated, 401, 401, "TOKEN_INVALID"},
		{"wrong", codes.Unauthenticated, codes.Unauthenticated, 401, 401, "TOKEN_INVALID"},
		{"r-token", codes.OK, codes.PermissionDenied, 200, 403, "ROLE_REQUIRED"},
		{"w-token", codes.OK, codes.PermissionDenied, 200, 403, "ROLE_REQUIRED"},
		{"a-token", codes.OK, codes.OK, 200, 200, ""},
	} {
		ctx := t.Context()
		if tc.token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+tc.token)
		}
		_, err := runicornapiv1.NewExperimentServiceClient(conn).ListProjects(ctx, &runicornapiv1.ListProjectsRequest{})
		if code, _ := outcome(err); code != tc.list {
			t.Errorf("token %q, list: %v", tc.token, err)
		}
		_, err = runicornapiv1.NewRemoteServiceClient(conn).ListConnections(ctx, &runicornapiv1.ListConnectionsRequest{})
		// The methods behind the roles may not be served by this build.
		code, reason := outcome(err)
		if served := code != codes.Unimplemented; served && (code != tc.remote || reason != tc.reason) {
			t.Errorf("token %q, remote: %v", tc.token, err)
		} else if !served && tc.remote != codes.OK {
			t.Errorf("token %q reached RemoteService", tc.token)
		}
		if code, body := p.get(t, client, "/v1/projects", tc.token); code != tc.listHTTP {
			t.Errorf("token %q, list over HTTP: %d %s", tc.token, code, body)
		}
		httpCode, body := p.get(t, client, "/v1/remote/connections", tc.token)
		if httpCode != tc.remoteHTTP && httpCode != http.StatusNotImplemented || !strings.Contains(body, tc.reason) {
			t.Errorf("token %q, remote over HTTP: %d %s", tc.token, httpCode, body)
		}
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health without a token: %v", err)
	}
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if code, _ := outcome(err); code != codes.Unauthenticated {
		t.Errorf("reflection without a token: %v", err)
	}
	if strings.Contains(p.stderr.String(), "-token") {
		t.Errorf("the log shows a token:\n%s", p.stderr)
	}
}

func TestWithoutATokenFileEveryCallIsAdmitted(t *testing.T) {
	t.Parallel()
	auth, _, err := newAuthorizer(&Config{}, nil, slog.New(slog.DiscardHandler))
	if err != nil || auth == nil {
		t.Errorf("%v, %v", auth, err)
	}
}

func FuzzReadTokens(f *testing.F) {
	f.Add("read abc\n# comment\nadmin def\n")
	f.Add("read\x00abc")
	f.Add("read sha256:" + hashOf("x") + " name=a expires=2027-01-31 viewers=lab,gpu1\nwrite cert:CN=a%20b\nadmin cert:DNS=A.b")
	f.Add("read a viewers=lab viewers=lab")
	viewers := []string{"lab", "gpu1"}
	f.Fuzz(func(t *testing.T, text string) {
		credentials, err := readTokens(strings.NewReader(text), viewers)
		if (err == nil) != (len(credentials) > 0) {
			t.Fatalf("%v, %v", credentials, err)
		}
		for _, c := range credentials {
			shown := 0
			for _, is := range []bool{c.Token != "", c.Cert != "", c.Hash != [sha256.Size]byte{}} {
				if is {
					shown++
				}
			}
			isLimitedToNone := c.Viewers != nil && len(c.Viewers) == 0
			isUnknown := slices.ContainsFunc(c.Viewers, func(name string) bool { return !slices.Contains(viewers, name) })
			if c.Role < interceptor.RoleRead || c.Role > interceptor.RoleAdmin || shown != 1 || strings.TrimSpace(c.Token) != c.Token || isLimitedToNone || isUnknown {
				t.Errorf("%+v", c)
			}
		}
	})
}

func FuzzReadYAML(f *testing.F) {
	f.Add("demo: true\nviewer: [a, b]\n")
	f.Add("? {}\n: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := readYAML(strings.NewReader(text))
		for key, value := range values {
			switch value.(type) {
			case string, []any:
			default:
				t.Errorf("%s is a %T (%v)", key, value, err)
			}
		}
	})
}

func FuzzByteSize(f *testing.F) {
	f.Add("1.5GiB")
	f.Add("1e300MiB")
	f.Fuzz(func(t *testing.T, text string) {
		var size byteSize
		if err := size.UnmarshalText([]byte(text)); err == nil && size < 0 {
			t.Errorf("%q is %d bytes", text, size)
		}
	})
}
