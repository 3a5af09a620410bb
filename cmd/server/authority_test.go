package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// The tokens of the tests of authority. All have the role admin, so that only their
// Viewers can cause a refusal.
const (
	tokenOfAll  = "canary-all-0123456789abcdef"
	tokenOfLab  = "canary-lab-0123456789abcdef"
	tokenOfSSH  = "canary-ssh-0123456789abcdef"
	hiddenRun   = "20260101_000000_aaaaaa"
	hiddenAlias = "alias-of-a-hidden-run"
	labRun      = "20260102_000000_bbbbbb"
)

// newLimited starts a server in front of three Viewers: lab; gpu1, which has one run; and
// ssh, which has tunneled ssh.abcd1234.
func newLimited(t *testing.T, args ...string) *process {
	t.Helper()
	at := map[string]string{}
	for name, run := range map[string]demotest.Run{
		"lab":  {ID: labRun, Path: "of-lab"},
		"gpu1": {ID: hiddenRun, Path: "secret/project", Alias: hiddenAlias},
	} {
		run.Events = []byte(`{"ts": 1, "type": "metrics", "data": {"loss": 1, "global_step": 1, "time": 1}}` + "\n")
		run.Logs = []byte("a line\n")
		viewer, err := demotest.New(demotest.Config{Generation: demotest.Gen07})
		if err != nil {
			t.Fatal(err)
		}
		viewer.AddRun(run)
		server := httptest.NewServer(viewer)
		t.Cleanup(server.Close)
		at[name] = server.URL
	}
	ssh := &sshViewer{}
	server := httptest.NewServer(ssh)
	t.Cleanup(server.Close)
	ssh.port = portOf(t, server.URL)
	tokens := file(t, "tokens", "admin "+tokenOfAll+" name=all\nadmin "+tokenOfLab+" name=ann viewers=lab\nadmin "+tokenOfSSH+" name=sue viewers=ssh\n")
	return start(t, append([]string{
		"--viewer=gpu1=" + at["gpu1"], "--viewer=lab=" + at["lab"], "--viewer=ssh=" + server.URL, "--auth-token-file=" + tokens, "--log-level=debug",
	}, args...)...)
}

// startSession has the Viewer ssh tunnel another one.
func startSession(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	_, err := runicornapiv1.NewRemoteServiceClient(conn).StartViewer(withToken(t.Context(), tokenOfAll), &runicornapiv1.StartViewerRequest{
		Viewer: "ssh", Target: &runicornapiv1.SshTarget{Host: "gpu", Username: "u"}, RemoteRoot: "/runs",
	})
	if err != nil {
		t.Fatal(err)
	}
}

func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// asker tries to reach a Viewer with a token.
type asker struct {
	t     *testing.T
	p     *process
	conn  *grpc.ClientConn
	http  *http.Client
	token string
	// viewer and run are what it is to reach.
	viewer, run string
}

// fill puts the names into a text.
func (a *asker) fill(text string) string {
	return strings.NewReplacer("VIEWER", a.viewer, "RUNID", a.run).Replace(text)
}

// wayTimeout bounds a way that finds a stream.
const wayTimeout = 3 * time.Second

func (a *asker) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(withToken(a.t.Context(), a.token), wayTimeout)
}

// rpc calls a method of the contract with a JSON request, and returns the responses, of a
// stream up to a number of messages.
func (a *asker) rpc(method, request string, messages int) string {
	a.t.Helper()
	service, name, _ := strings.Cut(method, "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("runicornapi.v1." + service + "." + name))
	if err != nil {
		a.t.Fatal(err)
	}
	m, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		a.t.Fatalf("%s is a %T", method, found)
	}
	in, out := a.message(m.Input()), a.message(m.Output())
	if err := protojson.Unmarshal([]byte(a.fill(request)), in); err != nil {
		a.t.Fatalf("%s: %v", method, err)
	}
	ctx, cancel := a.context()
	defer cancel()
	if !m.IsStreamingServer() {
		return a.text(out, a.conn.Invoke(ctx, "/runicornapi.v1."+method, in, out))
	}
	stream, err := a.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/runicornapi.v1."+method)
	if err == nil {
		err = errors.Join(stream.SendMsg(in), stream.CloseSend())
	}
	var received strings.Builder
	for range messages {
		if err == nil {
			err = stream.RecvMsg(out)
		}
		received.WriteString(a.text(out, err))
		if err != nil {
			break
		}
	}
	return received.String()
}

func (a *asker) message(d protoreflect.MessageDescriptor) proto.Message {
	a.t.Helper()
	found, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		a.t.Fatal(err)
	}
	return found.New().Interface()
}

// changing is what two answers to one question may differ in.
var changing = regexp.MustCompile(`"[0-9]{4}-[0-9]{2}-[0-9]{2}T[^"]*"|"latency":"[^"]*"`)

// text is all that a caller gets.
func (a *asker) text(m proto.Message, err error) string {
	a.t.Helper()
	if err != nil {
		m = status.Convert(err).Proto()
	}
	received, jsonErr := protojson.Marshal(m)
	var compact bytes.Buffer
	if jsonErr = errors.Join(jsonErr, json.Compact(&compact, received)); jsonErr != nil {
		a.t.Fatal(jsonErr)
	}
	if err != nil {
		return status.Code(err).String() + " " + compact.String()
	}
	return changing.ReplaceAllString(compact.String(), `""`)
}

// get makes an HTTP request with further headers as pairs. For a stream it returns the
// first lines.
func (a *asker) get(method, path, body string, headers ...string) string {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), wayTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.p.httpURL+a.fill(path), strings.NewReader(a.fill(body)))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], a.fill(headers[i+1]))
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err.Error()
	}
	defer shut(a.t, resp.Body)
	var received strings.Builder
	received.WriteString(resp.Status + " " + resp.Header.Get("Etag") + " ")
	kind := resp.Header.Get("Content-Type")
	if strings.Contains(kind, "event-stream") || strings.Contains(kind, "ndjson") {
		reader := bufio.NewReader(resp.Body)
		for range 12 {
			line, err := reader.ReadString('\n')
			received.WriteString(line)
			if err != nil {
				break
			}
		}
		return received.String()
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		received.WriteString(err.Error())
	}
	return changing.ReplaceAllString(received.String()+string(text), `""`)
}
