// Command clientform is a protoc plugin that writes the protos for code generators of other
// languages: the same wire format and comments, without custom options and without options
// that protoc 3.21 does not know. It also writes every remaining import, and the protos of
// error details, which are sent as google.protobuf.Any.
package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		return generate(p)
	})
}

func generate(p *protogen.Plugin) error {
	details := protodesc.ToFileDescriptorProto(errdetails.File_google_rpc_error_details_proto)
	all := map[string]*descriptorpb.FileDescriptorProto{}
	for _, f := range append(p.Request.GetProtoFile(), details) {
		all[f.GetName()] = f
	}
	kept := &descriptorpb.FileDescriptorSet{}
	for _, name := range append(p.Request.GetFileToGenerate(), details.GetName()) {
		keep(name, all, kept)
	}
	files, err := protodesc.NewFiles(kept)
	if err != nil {
		return fmt.Errorf("link the files: %w", err)
	}
	printer := &protoprint.Printer{}
	for _, f := range kept.GetFile() {
		fd, err := files.FindFileByPath(f.GetName())
		if err != nil {
			return fmt.Errorf("find %s: %w", f.GetName(), err)
		}
		if err := printer.PrintProtoFile(fd, p.NewGeneratedFile(f.GetName(), "")); err != nil {
			return fmt.Errorf("print %s: %w", f.GetName(), err)
		}
	}
	return nil
}

// keep strips a file and adds it after its remaining imports.
func keep(name string, all map[string]*descriptorpb.FileDescriptorProto, kept *descriptorpb.FileDescriptorSet) {
	file := all[name]
	if slices.Contains(kept.GetFile(), file) {
		return
	}
	used := map[string]bool{}
	strip(file.ProtoReflect(), used)
	public := map[string]bool{}
	for _, i := range file.GetPublicDependency() {
		public[file.Dependency[i]] = true
	}
	file.Dependency = slices.DeleteFunc(file.Dependency, func(dep string) bool {
		return !public[dep] && !declaresAny(all[dep], used)
	})
	file.PublicDependency, file.WeakDependency = nil, nil
	for i, dep := range file.GetDependency() {
		if public[dep] {
			file.PublicDependency = append(file.PublicDependency, int32(i))
		}
		keep(dep, all, kept)
	}
	// Comments of imports are located by index, which has changed.
	info := file.GetSourceCodeInfo()
	if info != nil {
		info.Location = slices.DeleteFunc(info.Location, func(l *descriptorpb.SourceCodeInfo_Location) bool {
			return len(l.GetPath()) > 1 && l.GetPath()[0] == dependencyField
		})
	}
	kept.File = append(kept.File, file)
}

// dependencyField is the number of the imports field in FileDescriptorProto.
const dependencyField = 3

// newOptions are unknown to protoc 3.21.
var newOptions = []protoreflect.Name{"debug_redact", "edition_defaults", "feature_support", "features", "retention", "targets"}

// typeNames are the fields of descriptors that name a type.
var typeNames = []protoreflect.Name{"extendee", "input_type", "output_type", "type_name"}

// strip clears custom and new options in a descriptor and everything in it, and records the
// types that it names.
func strip(m protoreflect.Message, used map[string]bool) {
	m.SetUnknown(nil) // custom options that are not linked into this program
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsExtension(), slices.Contains(newOptions, f.Name()):
			m.Clear(f)
		case slices.Contains(typeNames, f.Name()):
			used[v.String()] = true
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				strip(v.List().Get(i).Message(), used)
			}
		default:
			strip(v.Message(), used)
		}
		return true
	})
}

// declaresAny reports whether a file declares one of the types.
func declaresAny(file *descriptorpb.FileDescriptorProto, types map[string]bool) bool {
	var names []string
	for _, m := range file.GetMessageType() {
		names = append(names, m.GetName())
	}
	for _, e := range file.GetEnumType() {
		names = append(names, e.GetName())
	}
	for t := range types {
		rest, found := strings.CutPrefix(t, "."+file.GetPackage()+".")
		top, _, _ := strings.Cut(rest, ".")
		if found && slices.Contains(names, top) {
			return true
		}
	}
	return false
}
