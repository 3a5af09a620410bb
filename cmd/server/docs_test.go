package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient/operations"
)

// TestDocs_TablesAreFresh compares the generated tables of the documents with the code;
// -update writes them.
func TestDocs_TablesAreFresh(t *testing.T) {
	t.Parallel()
	contract := readContract(t)
	for _, tc := range []struct{ document, name, want string }{
		{"configuration.md", "flags", flagTable(t)},
		{"errors.md", "errors", errorTable(t, contract)},
		{"api.md", "methods", methodTable(t, contract)},
	} {
		path := filepath.Join("..", "..", "docs", tc.document)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := "<!-- generated: "+tc.name+" -->\n", "<!-- generated: end -->"
		before, rest, found := strings.Cut(string(text), begin)
		got, after, closed := strings.Cut(rest, end)
		switch {
		case !found || !closed:
			t.Errorf("%s has no block %q", tc.document, tc.name)
		case *update:
			if err := os.WriteFile(path, []byte(before+begin+tc.want+end+after), 0o600); err != nil {
				t.Fatal(err)
			}
		case got != tc.want:
			t.Errorf("%s is stale: run 'go test ./cmd/server -run TestDocs -update'", tc.document)
		}
	}
}

// flagTable has a row for each flag, with its text in --help.
func flagTable(t *testing.T) string {
	t.Helper()
	from := &settings{getenv: noEnv}
	parser, err := kong.New(&Config{}, kong.NoDefaultHelp(), kong.Resolvers(from), kong.Bind(from))
	if err != nil {
		t.Fatal(err)
	}
	rows := []string{"| flag | default | |", "|---|---|---|"}
	for _, flag := range parser.Model.Flags {
		name := flag.Name
		if flag.PlaceHolder != "" {
			name += "=" + flag.PlaceHolder
		}
		if flag.IsSlice() {
			name += map[rune]string{' ': " ...", ',': ",..."}[flag.Tag.Sep]
		}
		def := flag.Default
		if def != "" {
			def = "`" + def + "`"
		}
		rows = append(rows, fmt.Sprintf("| `--%s` | %s | %s |", name, def, flag.Help))
	}
	return strings.Join(rows, "\n") + "\n"
}

// contract is the contract with its comments.
type contract []protoreflect.FileDescriptor

func readContract(t *testing.T) contract {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "proto", "baseline.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	var c contract
	files.RangeFilesByPackage("runicornapi.v1", func(file protoreflect.FileDescriptor) bool {
		c = append(c, file)
		return true
	})
	slices.SortFunc(c, func(a, b protoreflect.FileDescriptor) int { return strings.Compare(a.Path(), b.Path()) })
	return c
}

// comment is the comment of something in the contract, in one line.
func comment(d protoreflect.Descriptor) string {
	return strings.Join(strings.Fields(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments), " ")
}

// errorTable has a row for each reason: code, HTTP status and meaning are in its comment.
func errorTable(t *testing.T, c contract) string {
	t.Helper()
	rows := []string{"| reason | code | HTTP | what happened |", "|---|---|---|---|"}
	for _, file := range c {
		enum := file.Enums().ByName("ErrorReason")
		if enum == nil {
			continue
		}
		for i := 1; i < enum.Values().Len(); i++ { // the first one is never sent
			value := enum.Values().Get(i)
			names, meaning, found := strings.Cut(comment(value), ": ")
			var statuses []string
			for name := range strings.SplitSeq(names, " or ") {
				statuses = append(statuses, strconv.Itoa(httpStatus(t, name)))
			}
			if !found {
				t.Errorf("the comment of %s does not begin with its code", value.Name())
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", strings.TrimPrefix(string(value.Name()), "ERROR_REASON_"),
				names, strings.Join(slices.Compact(statuses), ", "), strings.ToUpper(meaning[:1])+meaning[1:]))
		}
	}
	return strings.Join(rows, "\n") + "\n"
}

func httpStatus(t *testing.T, name string) int {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		t.Error(err)
	}
	return runtime.HTTPStatusFromCode(code)
}

// methodTable has a row for each RPC.
func methodTable(t *testing.T, c contract) string {
	t.Helper()
	ops, err := operations.Read(os.DirFS(filepath.Join("..", "..", "internal", "restclient")))
	if err != nil {
		t.Fatal(err)
	}
	releases := make(map[string]string, len(ops))
	for _, op := range ops {
		releases[strings.TrimPrefix(op.Method+" "+op.Path, operations.Socket+" ")] = strings.Join(op.Generations, ", ")
	}
	missing := maps.Clone(viewerRoutes)
	rows := []string{"| method | REST | role | routes of the Viewer |", "|---|---|---|---|"}
	for _, file := range c {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			rows = append(rows, fmt.Sprintf("| **%s** | | | |", service.Name()))
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				name := string(method.Name())
				delete(missing, name)
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", name, restOf(method), roleOf(t, method), routesOf(t, name, releases)))
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("the contract lacks %v", slices.Sorted(maps.Keys(missing)))
	}
	return strings.Join(rows, "\n") + "\n"
}

var role = regexp.MustCompile(`Role: ([a-z]+)`)

func roleOf(t *testing.T, method protoreflect.MethodDescriptor) string {
	t.Helper()
	found := role.FindStringSubmatch(comment(method))
	if found == nil {
		t.Fatalf("the comment of %s does not name its role", method.FullName())
	}
	return found[1]
}

// restOf is the first REST route of an RPC.
func restOf(method protoreflect.MethodDescriptor) string {
	rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok {
		return ""
	}
	for _, route := range []struct{ method, path string }{
		{http.MethodGet, rule.GetGet()},
		{http.MethodPost, rule.GetPost()},
		{http.MethodPatch, rule.GetPatch()},
		{http.MethodPut, rule.GetPut()},
		{http.MethodDelete, rule.GetDelete()},
	} {
		if route.path != "" {
			return "`" + route.method + " " + route.path + "`"
		}
	}
	return ""
}

// routesOf names the routes of an RPC, with the releases that have them if not all do.
func routesOf(t *testing.T, name string, releases map[string]string) string {
	t.Helper()
	routes, known := viewerRoutes[name]
	if !known {
		t.Errorf("viewerRoutes lacks %s", name)
	}
	var out []string
	for _, route := range routes {
		has, known := releases[route]
		switch {
		case !known:
			t.Errorf("%s: restclient has no route %s", name, route)
		case has == "0.5, 0.6, 0.7":
			out = append(out, "`"+route+"`")
		default:
			out = append(out, "`"+route+"` ("+has+")")
		}
	}
	return strings.Join(out, ", ")
}
