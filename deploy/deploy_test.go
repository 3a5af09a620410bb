// Package deploy has no code: its tests check the configuration that is shipped.
package deploy

import (
	"os"
	"regexp"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// services are the files of all services.
var services = []protoreflect.FileDescriptor{
	runicornapiv1.File_runicornapi_v1_artifact_service_proto,
	runicornapiv1.File_runicornapi_v1_experiment_service_proto,
	runicornapiv1.File_runicornapi_v1_metric_service_proto,
	runicornapiv1.File_runicornapi_v1_remote_service_proto,
	runicornapiv1.File_runicornapi_v1_viewer_service_proto,
}

// TestHAProxy_RepeatsOnlyTheReadsOfTheContract: HAProxy may repeat the methods without
// side effects, except those of RemoteService, which connect to machines.
func TestHAProxy_RepeatsOnlyTheReadsOfTheContract(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("haproxy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s+acl read path_reg (\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("haproxy.cfg says of no path that it is a read")
	}
	read := regexp.MustCompile(string(found[1]))
	methods := 0
	for _, file := range services {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			options, ok := method.Options().(*descriptorpb.MethodOptions)
			want := ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS && service.Name() != "RemoteService"
			path := "/" + string(service.FullName()) + "/" + string(method.Name())
			if read.MatchString(path) != want {
				t.Errorf("%s: HAProxy takes it for a read: %t, want %t", path, !want, want)
			}
			methods++
		}
	}
	if methods < 50 {
		t.Errorf("only %d methods were checked", methods)
	}
}
