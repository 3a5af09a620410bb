package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// route is one HTTP binding of an RPC. grpc-gateway finds the route of a request. What it
// does not check, such as unknown parameters, is checked with this information from the
// contract's annotations.
type route struct {
	httpMethod string
	template   string // such as /v1/experiments/{run_id}:export
	input      protoreflect.MessageType
	params     []string // the fields in the path
	// content is the message whose JSON is the body; nil if there is no body.
	content protoreflect.MessageType
	// contentField is the field of the request that is the body. It is nil if the body is
	// the request itself, without the fields in the path; the query is then empty.
	contentField protoreflect.FieldDescriptor
	stream       bool
	// token is the field resume_token of a resumable stream, else nil.
	token protoreflect.FieldDescriptor
	// rpc is the method, such as /runicornapi.v1.ArtifactService/DownloadAsset.
	rpc string
	// output is the message type of a stream that is a file, else nil.
	output protoreflect.MessageType
}

// routeTable has every route by HTTP method and pattern, in the spelling of
// grpc-gateway's mux.
type routeTable map[string]*route

// serviceFiles hold one service each.
func serviceFiles() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		runicornapiv1.File_runicornapi_v1_experiment_service_proto,
		runicornapiv1.File_runicornapi_v1_metric_service_proto,
		runicornapiv1.File_runicornapi_v1_artifact_service_proto,
		runicornapiv1.File_runicornapi_v1_remote_service_proto,
		runicornapiv1.File_runicornapi_v1_viewer_service_proto,
	}
}

// newRouteTable reads the annotations of the contract.
func newRouteTable() (routeTable, error) {
	table := routeTable{}
	for _, file := range serviceFiles() {
		methods := file.Services().Get(0).Methods()
		for i := range methods.Len() {
			if err := table.add(methods.Get(i)); err != nil {
				return nil, err
			}
		}
	}
	return table, nil
}

// add makes the routes of one RPC.
func (t routeTable) add(rpc protoreflect.MethodDescriptor) error {
	input, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Input().FullName())
	if err != nil {
		return err
	}
	var file protoreflect.MessageType
	if rpc.IsStreamingServer() && isFileStream(rpc.Output()) {
		if file, err = protoregistry.GlobalTypes.FindMessageByName(rpc.Output().FullName()); err != nil {
			return err
		}
	}
	rule, _ := proto.GetExtension(rpc.Options(), annotations.E_Http).(*annotations.HttpRule)
	for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		rt := &route{
			rpc: "/" + string(rpc.Parent().FullName()) + "/" + string(rpc.Name()), input: input, output: file,
			stream: rpc.IsStreamingServer(),
		}
		if err := rt.setContent(binding.GetBody()); err != nil {
			return err
		}
		switch pattern := binding.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			rt.httpMethod, rt.template = http.MethodGet, pattern.Get
		case *annotations.HttpRule_Post:
			rt.httpMethod, rt.template = http.MethodPost, pattern.Post
		case *annotations.HttpRule_Patch:
			rt.httpMethod, rt.template = http.MethodPatch, pattern.Patch
		case *annotations.HttpRule_Delete:
			rt.httpMethod, rt.template = http.MethodDelete, pattern.Delete
		}
		for _, m := range pathParam.FindAllStringSubmatch(rt.template, -1) {
			rt.params = append(rt.params, m[1])
		}
		if rt.stream {
			rt.token = input.Descriptor().Fields().ByName("resume_token")
		}
		t[rt.httpMethod+" "+pathParam.ReplaceAllString(rt.template, "{$1=*}")] = rt
	}
	return nil
}

// setContent sets the body from the annotation: "*", a field, or nothing.
func (rt *route) setContent(body string) error {
	switch body {
	case "":
		return nil
	case "*":
		rt.content = rt.input
		return nil
	}
	rt.contentField = rt.input.Descriptor().Fields().ByName(protoreflect.Name(body))
	if rt.contentField == nil || rt.contentField.Message() == nil {
		return fmt.Errorf("the body of %s is %s, which is not a message of %s", rt.rpc, body, rt.input.Descriptor().FullName())
	}
	var err error
	rt.content, err = protoregistry.GlobalTypes.FindMessageByName(rt.contentField.Message().FullName())
	return err
}

// pathParam is a field in a template, such as run_id or experiment.run_id; in this
// contract it is always one segment.
var pathParam = regexp.MustCompile(`\{([a-z_.]+)\}`)

// lookup returns the route that grpc-gateway's mux has found for a request.
func (t routeTable) lookup(r *http.Request) (*route, bool) {
	pattern, ok := runtime.HTTPPattern(r.Context())
	if !ok {
		return nil, false
	}
	rt, ok := t[r.Method+" "+pattern.String()]
	return rt, ok
}

// allowed returns the methods of a path.
func (t routeTable) allowed(path string) []string {
	methods := map[string]bool{}
	for _, rt := range t {
		if rt.matches(path) {
			methods[rt.httpMethod] = true
			methods[http.MethodHead] = methods[http.MethodHead] || rt.httpMethod == http.MethodGet
		}
	}
	maps.DeleteFunc(methods, func(_ string, has bool) bool { return !has })
	return slices.Sorted(maps.Keys(methods))
}

// matches reports whether a path belongs to the route.
func (rt *route) matches(path string) bool {
	want, got := strings.Split(rt.template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	last := len(want) - 1
	if base, verb, found := strings.Cut(want[last], ":"); found {
		var ok bool
		if got[last], ok = strings.CutSuffix(got[last], ":"+verb); !ok {
			return false
		}
		want[last] = base
	}
	return slices.EqualFunc(want, got, func(want, got string) bool {
		return want == got || (strings.HasPrefix(want, "{") && got != "")
	})
}
