package runicorngrpc

import (
	"regexp"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// The contract, which these tests read as descriptors.
	_ "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

const contractPackage = "runicornapi.v1"

// eachMethod visits every RPC of the contract.
func eachMethod(t *testing.T, visit func(protoreflect.MethodDescriptor)) {
	t.Helper()
	count := 0
	protoregistry.GlobalFiles.RangeFilesByPackage(contractPackage, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				visit(methods.Get(j))
				count++
			}
		}
		return true
	})
	if count < 50 {
		t.Errorf("the contract has %d RPCs, which cannot be all", count)
	}
}

// eachField visits every field of every message of the contract.
func eachField(t *testing.T, visit func(protoreflect.FieldDescriptor)) {
	t.Helper()
	count := 0
	var each func(protoreflect.MessageDescriptors)
	each = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			if m.IsMapEntry() {
				continue
			}
			for j := range m.Fields().Len() {
				visit(m.Fields().Get(j))
				count++
			}
			each(m.Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage(contractPackage, func(file protoreflect.FileDescriptor) bool {
		each(file.Messages())
		return true
	})
	if count < 300 {
		t.Errorf("the contract has %d fields, which cannot be all", count)
	}
}

// TestContract_ARunIsFieldTwo: a load balancer that knows the numbers of a
// Viewer and a run can route every call about a run without knowing the call.
// What UpdateExperiment is about is in the experiment that it sends.
func TestContract_ARunIsFieldTwo(t *testing.T) {
	count := 0
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		fields := m.Input().Fields()
		run := fields.ByName("run_id")
		if run == nil {
			run = fields.ByName("run_ids")
		}
		viewer := fields.ByName("viewer")
		if viewer != nil && viewer.Number() != 1 {
			t.Errorf("%s: viewer is %d, not 1", m.Input().Name(), viewer.Number())
		}
		if run == nil {
			return
		}
		count++
		if viewer == nil || run.Number() != 2 {
			t.Errorf("%s must have viewer = 1 and %s = 2", m.Input().Name(), run.Name())
		}
	})
	if count < 15 {
		t.Errorf("%d requests are about runs, which cannot be all", count)
	}
}

// TestContract_ReadsSaySo: what has a GET, and no other call, is marked as
// without side effects, so that clients and proxies may repeat it.
func TestContract_ReadsSaySo(t *testing.T) {
	reads := regexp.MustCompile(`^(List|Get|Find|Compare|Stream|Tail|Watch|Export|Download)`)
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
		options, _ := m.Options().(*descriptorpb.MethodOptions)
		marked := options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		if isRead := rule.GetGet() != ""; marked != isRead {
			t.Errorf("%s: a read: %t, marked as one: %t", m.FullName(), isRead, marked)
		}
		if reads.MatchString(string(m.Name())) && !marked {
			t.Errorf("%s reads, and is not marked so", m.FullName())
		}
	})
}

// TestContract_RequestFieldsHaveABehavior, those of nested messages included.
func TestContract_RequestFieldsHaveABehavior(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var check func(protoreflect.MessageDescriptor)
	check = func(m protoreflect.MessageDescriptor) {
		if m.ParentFile().Package() != contractPackage || m.IsMapEntry() || seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			behavior, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
			isOutput := false
			for _, b := range behavior {
				isOutput = isOutput || b == annotations.FieldBehavior_OUTPUT_ONLY
			}
			if len(behavior) == 0 {
				t.Errorf("%s has no field_behavior", f.FullName())
			}
			if f.Message() != nil && !isOutput {
				check(f.Message())
			}
		}
	}
	eachMethod(t, func(m protoreflect.MethodDescriptor) { check(m.Input()) })
	if len(seen) < 50 {
		t.Errorf("%d messages were seen, which cannot be all", len(seen))
	}
}

// TestContract_ListsArePaged by the fields of AIP-158.
func TestContract_ListsArePaged(t *testing.T) {
	want := func(m protoreflect.MessageDescriptor, name protoreflect.Name, kind protoreflect.Kind) {
		if f := m.Fields().ByName(name); f == nil || f.Kind() != kind || f.IsList() {
			t.Errorf("%s has no %s %s", m.Name(), kind, name)
		}
	}
	eachMethod(t, func(m protoreflect.MethodDescriptor) {
		if !strings.HasPrefix(string(m.Name()), "List") {
			return
		}
		want(m.Input(), "page_size", protoreflect.Int32Kind)
		want(m.Input(), "page_token", protoreflect.StringKind)
		want(m.Output(), "next_page_token", protoreflect.StringKind)
	})
}

// notCounts are the names of integers that count nothing: sizes, places, limits
// and numbers of things.
var notCounts = regexp.MustCompile(`(^|_)(bytes|port|steps?|offset|positions|version|index|rows|integer|process_id|mib)$` +
	`|^(page_size|total_size|skip|limit|last|last_lines|max_[a-z]+|aliases)$`)

// TestContract_CountsAreCalledSo: an integer is a count and ends in count, or
// is of a kind that has been thought about.
func TestContract_CountsAreCalledSo(t *testing.T) {
	eachField(t, func(f protoreflect.FieldDescriptor) {
		switch f.Kind() {
		case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		default:
			return
		}
		if name := string(f.Name()); name != "count" && !strings.HasSuffix(name, "_count") && !notCounts.MatchString(name) {
			t.Errorf("%s: a count ends in _count; what is none belongs in notCounts", f.FullName())
		}
	})
}

// TestContract_ErrorsAreNoStatus: status is an experiment's; a google.rpc.Status
// is an error.
func TestContract_ErrorsAreNoStatus(t *testing.T) {
	count := 0
	eachField(t, func(f protoreflect.FieldDescriptor) {
		if f.Message() == nil || f.Message().FullName() != "google.rpc.Status" {
			return
		}
		count++
		if name := string(f.Name()); name != "error" && !strings.HasSuffix(name, "_error") {
			t.Errorf("%s is a google.rpc.Status and must be called error", f.FullName())
		}
	})
	if count == 0 {
		t.Error("no field is a google.rpc.Status")
	}
}

// TestContract_EveryMethodHasAnExample checks that the comment of each RPC has a request
// that is valid.
func TestContract_EveryMethodHasAnExample(t *testing.T) {
	t.Parallel()
	comments := contractComments(t)
	eachMethod(t, func(method protoreflect.MethodDescriptor) {
		_, example, found := strings.Cut(comments[method.FullName()], "Example:\n\n")
		if !found {
			t.Errorf("the comment of %s has no example", method.Name())
			return
		}
		request := dynamicpb.NewMessage(method.Input())
		if err := protojson.Unmarshal([]byte(example), request); err != nil {
			t.Errorf("the example of %s: %v", method.Name(), err)
		} else if err := protovalidate.Validate(request); err != nil {
			t.Errorf("the example of %s: %v", method.Name(), err)
		}
	})
}

// contractComments are the comments of the RPCs, which are in the committed image only.
func contractComments(t *testing.T) map[protoreflect.FullName]string {
	t.Helper()
	var image descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal([]byte(read(t, "proto/baseline.binpb")), &image); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&image)
	if err != nil {
		t.Fatal(err)
	}
	comments := make(map[protoreflect.FullName]string)
	eachMethod(t, func(method protoreflect.MethodDescriptor) {
		d, err := files.FindDescriptorByName(method.FullName())
		if err != nil {
			t.Error(err)
			return
		}
		comments[method.FullName()] = d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	})
	return comments
}
