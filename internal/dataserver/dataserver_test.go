package dataserver

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseLogdir(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, logdir string
		want         source // no address: the logdir is rejected
	}{
		{"a server", "runicorn://127.0.0.1:23310", source{address: "127.0.0.1:23310"}},
		{"a trailing slash", "runicorn://127.0.0.1:23310/", source{address: "127.0.0.1:23310"}},
		{"a Viewer", "runicorn://lab.example.org:23310/gpu", source{address: "lab.example.org:23310", experiment: "gpu"}},
		{"a path of a Viewer", "runicorn://[::1]:1/gpu/vision/resnet", source{address: "[::1]:1", experiment: "gpu~vision~resnet"}},
		{"a path with spaces", "runicorn://h:1/gpu/a%20b", source{address: "h:1", experiment: "gpu~a b"}},
		{"over TLS", "runicorn+tls://h:1", source{address: "h:1", secure: true}},
		{"a folder is rejected", "/data/runs", source{}},
		{"an empty logdir is rejected", "", source{}},
		{"another scheme is rejected", "http://h:1", source{}},
		{"a missing host is rejected", "runicorn:///gpu", source{}},
		{"a password is rejected", "runicorn://me:secret@h:1", source{}},
		{"a query is rejected", "runicorn://h:1/?token=secret", source{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseLogdir(tc.logdir)
			switch {
			case tc.want.address == "" && (err == nil || !strings.Contains(err.Error(), "runicorn://HOST:PORT") || strings.Contains(err.Error(), "secret")):
				t.Errorf("got %+v, %v", got, err)
			case tc.want.address != "" && (err != nil || *got != tc.want):
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

// recorder is a connection whose calls are recorded, and succeed.
type recorder struct {
	grpc.ClientConnInterface
	method    string
	req, resp any
}

func (r *recorder) Invoke(_ context.Context, method string, req, resp any, _ ...grpc.CallOption) error {
	r.method, r.req, r.resp = method, req, resp
	return nil
}

// TestForward forwards each unary method with the experiment of the logdir.
func TestForward(t *testing.T) {
	t.Parallel()
	methods := tensorboardpb.File_tensorboard_data_provider_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		if m.IsStreamingServer() {
			continue
		}
		request, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
		if err != nil {
			t.Fatal(err)
		}
		conn := &recorder{}
		p := &provider{conn: conn, experiment: "gpu~vision"}
		name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
		resp, err := p.forward(t.Context(), request.New().Interface(), &grpc.UnaryServerInfo{FullMethod: name}, nil)
		req, _ := conn.req.(interface{ GetExperimentId() string })
		if err != nil || conn.method != name || req == nil || req.GetExperimentId() != "gpu~vision" {
			t.Errorf("%s: called %s with %v, %v", name, conn.method, conn.req, err)
		}
		if got, ok := resp.(proto.Message); !ok || resp != conn.resp || got.ProtoReflect().Descriptor() != m.Output() {
			t.Errorf("%s: got a %T", name, resp)
		}
	}
}

func TestIsStarted(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{
		"--logdir=runicorn://h:1 --reload=5 --port=0 --port-file=/tmp/p --die-after-stdin": true,
		"--demo":  false,
		"tail r1": false,
		"":        false,
	} {
		if got := IsStarted(strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}
