package interceptor

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// contract is every file of the contract that defines messages or services.
var contract = []protoreflect.FileDescriptor{
	runicornapiv1.File_runicornapi_v1_artifact_proto, runicornapiv1.File_runicornapi_v1_artifact_service_proto,
	runicornapiv1.File_runicornapi_v1_experiment_proto, runicornapiv1.File_runicornapi_v1_experiment_service_proto,
	runicornapiv1.File_runicornapi_v1_file_proto, runicornapiv1.File_runicornapi_v1_metric_proto,
	runicornapiv1.File_runicornapi_v1_metric_service_proto, runicornapiv1.File_runicornapi_v1_remote_proto,
	runicornapiv1.File_runicornapi_v1_remote_service_proto, runicornapiv1.File_runicornapi_v1_value_proto,
	runicornapiv1.File_runicornapi_v1_viewer_proto, runicornapiv1.File_runicornapi_v1_viewer_service_proto,
}

// statedRole finds the end of an rpc's comment, which states its role, and
// the rpc. Descriptors in Go have no comments, so the source is read.
var statedRole = regexp.MustCompile(`(?s)Role:\s*(?://\s*)?(\w+)((?:[^\n]*\n\s*//)*[^\n]*)\n\s*rpc (\w+)\(`)

func TestEveryRPCStatesTheRoleThatItNeeds(t *testing.T) {
	stated := map[string]string{}
	files, err := filepath.Glob("../../../proto/runicornapi/v1/*_service.proto")
	if err != nil || len(files) == 0 {
		t.Fatalf("find the contract: %v files, error %v", len(files), err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range statedRole.FindAllStringSubmatch(string(source), -1) {
			stated[found[3]] = found[1]
		}
	}
	for _, file := range contract {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				full := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
				if got, want := stated[string(method.Name())], RoleOf(full).String(); got != want {
					t.Errorf("%s: its comment states role %q, the table has %q", full, got, want)
				}
			}
		}
	}
}

// noSecrets are fields that are named like secrets and are none, and why.
var noSecrets = map[string]string{
	"page_token":      "names a position in a list",
	"next_page_token": "names a position in a list",
	"resume_token":    "names a position in a run's log",
	"host_key":        "a public key",
	"host_keys":       "public keys",
	"key_type":        "the name of an algorithm",
	"key":             "the name under which an image was logged",
}

func TestEverySecretFieldIsRedacted(t *testing.T) {
	named := regexp.MustCompile(`password|passphrase|token|(^|_)keys?(_|$)`)
	used := map[string]bool{}
	for _, file := range contract {
		walkFields(file.Messages(), func(field protoreflect.FieldDescriptor) {
			name := string(field.Name())
			if !named.MatchString(name) {
				return
			}
			options, ok := field.Options().(*descriptorpb.FieldOptions)
			redacted := ok && options.GetDebugRedact()
			_, exempt := noSecrets[name]
			used[name] = used[name] || exempt
			if !redacted && !exempt {
				t.Errorf("%s is named like a secret, but has no debug_redact and no reason in noSecrets", field.FullName())
			}
		})
	}
	for name := range noSecrets {
		if !used[name] {
			t.Errorf("noSecrets has %q, which no field is called", name)
		}
	}
}

// walkFields visits the fields of messages and of those within them.
func walkFields(messages protoreflect.MessageDescriptors, visit func(protoreflect.FieldDescriptor)) {
	for i := range messages.Len() {
		message := messages.Get(i)
		for j := range message.Fields().Len() {
			visit(message.Fields().Get(j))
		}
		walkFields(message.Messages(), visit)
	}
}
