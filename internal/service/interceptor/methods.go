package interceptor

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// methods are the methods of the contract by their full names, as calls have them.
var methods = func() map[string]protoreflect.MethodDescriptor {
	out := map[string]protoreflect.MethodDescriptor{}
	for _, file := range []protoreflect.FileDescriptor{
		runicornapiv1.File_runicornapi_v1_experiment_service_proto,
		runicornapiv1.File_runicornapi_v1_metric_service_proto,
		runicornapiv1.File_runicornapi_v1_artifact_service_proto,
		runicornapiv1.File_runicornapi_v1_remote_service_proto,
		runicornapiv1.File_runicornapi_v1_viewer_service_proto,
	} {
		service := file.Services().Get(0)
		for i := range service.Methods().Len() {
			m := service.Methods().Get(i)
			out["/"+string(service.FullName())+"/"+string(m.Name())] = m
		}
	}
	return out
}()
