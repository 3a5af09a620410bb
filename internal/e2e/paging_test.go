package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// sshAnswers are responses about SSH, which a demo Viewer without an SSH server does not
// have.
var sshAnswers = map[string]string{
	"/api/remote/sessions": `{"sessions": [
		{"key": "a@gpu:22", "host": "gpu", "port": 22, "username": "a", "connected": true},
		{"key": "b@gpu:22", "host": "gpu", "port": 22, "username": "b", "connected": true},
		{"key": "c@gpu:22", "host": "gpu", "port": 22, "username": "c", "connected": false}]}`,
	"/api/remote/viewer/sessions": `{"sessions": [
		{"sessionId": "s1", "host": "gpu", "sshPort": 22, "username": "a", "status": "stopped", "isActive": false},
		{"sessionId": "s2", "host": "gpu", "sshPort": 22, "username": "a", "status": "stopped", "isActive": false}]}`,
	"/api/remote/fs/list": `{"path": "/data", "items": [
		{"name": "b", "is_dir": false, "size": 3, "mtime": 1795446986},
		{"name": "a", "is_dir": true, "size": 0, "mtime": 1795446986},
		{"name": "c", "is_dir": false, "size": 3, "mtime": 1795446986}]}`,
	"/api/remote/conda-envs": `{"ok": true, "envs": [
		{"name": "system", "type": "system", "python_version": "Python 3.11.2", "path": "/usr/bin/python3", "is_default": true},
		{"name": "base", "type": "conda", "python_version": "Python 3.12.1", "path": "/opt/conda", "is_default": false}]}`,
}

// sshDemo is a demo Viewer of 0.6.0 that has SSH connections.
func sshDemo(t *testing.T) string {
	t.Helper()
	demo, err := demotest.New(demotest.Config{Generation: demotest.Gen06})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := sshAnswers[r.URL.Path]
		if !ok {
			demo.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, text)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// fullDemo starts a demo Viewer of 0.7 that also stores saved connections and host keys.
func fullDemo(t *testing.T) string {
	t.Helper()
	demo, err := demotest.New(demotest.Config{Generation: demotest.Gen07})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(demo)
	t.Cleanup(server.Close)
	return server.URL
}

// listCall is a call of a list: its request, and its minimum number of entries.
type listCall struct {
	req   proto.Message
	least int
}

// listCalls has a call of every list of the contract.
func listCalls(t *testing.T, s *server) map[protoreflect.Name]listCall {
	t.Helper()
	runs, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{
		Viewer: "demo", Filter: `status = FINISHED AND name = "resnet"`,
	})
	if err != nil || len(runs.GetExperiments()) == 0 {
		t.Fatalf("the demo's runs: %v, %v", runs, err)
	}
	run := runs.GetExperiments()[0].GetRunId()
	artifacts, err := s.artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "legacy", Type: "model"})
	if err != nil || len(artifacts.GetArtifacts()) == 0 {
		t.Fatalf("the demo's models: %v, %v", artifacts, err)
	}
	model := artifacts.GetArtifacts()[0].GetName()
	return map[protoreflect.Name]listCall{
		"ListExperiments":         {&runicornapiv1.ListExperimentsRequest{Viewer: "-"}, 10},
		"ListProjects":            {&runicornapiv1.ListProjectsRequest{Viewer: "-"}, 6},
		"ListDeletedExperiments":  {&runicornapiv1.ListDeletedExperimentsRequest{Viewer: "legacy"}, 2},
		"ListMetrics":             {&runicornapiv1.ListMetricsRequest{Viewer: "demo", RunId: run}, 3},
		"ListViewers":             {&runicornapiv1.ListViewersRequest{}, 3},
		"ListArtifacts":           {&runicornapiv1.ListArtifactsRequest{Viewer: "legacy"}, 2},
		"ListArtifactVersions":    {&runicornapiv1.ListArtifactVersionsRequest{Viewer: "legacy", Name: model}, 2},
		"ListArtifactFiles":       {&runicornapiv1.ListArtifactFilesRequest{Viewer: "legacy", Name: model}, 1},
		"ListExperimentArtifacts": {&runicornapiv1.ListExperimentArtifactsRequest{Viewer: "demo", RunId: run}, 3},
		"ListAssets":              {&runicornapiv1.ListAssetsRequest{Viewer: "demo", RunId: run}, 5},
		"ListImages":              {&runicornapiv1.ListImagesRequest{Viewer: "demo", RunId: run}, 2},
		"ListConnections":         {&runicornapiv1.ListConnectionsRequest{Viewer: "ssh"}, 3},
		"ListViewerSessions":      {&runicornapiv1.ListViewerSessionsRequest{Viewer: "ssh"}, 2},
		"ListDirectory":           {&runicornapiv1.ListDirectoryRequest{Viewer: "ssh", ConnectionId: "a@gpu:22", Path: "/data"}, 3},
		"ListPythonEnvironments":  {&runicornapiv1.ListPythonEnvironmentsRequest{Viewer: "ssh", ConnectionId: "a@gpu:22"}, 2},
		"ListHostKeys":            {&runicornapiv1.ListHostKeysRequest{Viewer: "full"}, 3},
		"ListSavedConnections":    {&runicornapiv1.ListSavedConnectionsRequest{Viewer: "full"}, 3},
	}
}

// fillLists makes what the demo's sample lacks.
func fillLists(t *testing.T, s *server) {
	t.Helper()
	runs, err := s.experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: "legacy", Filter: "NOT status = RUNNING", PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	deleted := &runicornapiv1.DeleteExperimentsRequest{Viewer: "legacy"}
	for _, e := range runs.GetExperiments() {
		deleted.RunIds = append(deleted.RunIds, e.GetRunId())
	}
	if _, err := s.experiments.DeleteExperiments(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		key := []byte(fmt.Sprintf("key %d", i))
		sum := sha256.Sum256(key)
		_, err := s.remote.AcceptHostKey(t.Context(), &runicornapiv1.AcceptHostKeyRequest{Viewer: "full", HostKey: &runicornapiv1.HostKey{
			Host: fmt.Sprintf("gpu%d", i), Port: 22, KeyType: "ssh-ed25519",
			PublicKey:         "ssh-ed25519 " + base64.StdEncoding.EncodeToString(key),
			FingerprintSha256: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.remote.SaveConnection(t.Context(), &runicornapiv1.SaveConnectionRequest{
			Viewer: "full", DisplayName: fmt.Sprintf("gpu %d", i),
			Target: &runicornapiv1.SshTarget{Host: fmt.Sprintf("gpu%d", i), Username: "me", UseAgent: new(true)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestLists_PageToTheirEnd walks every list of the contract in pages of one
// entry, and wants the entries that the whole list has, in its order, each once.
func TestLists_PageToTheirEnd(t *testing.T) {
	t.Parallel()
	s := mustStart(t, "--demo", "--viewer=ssh="+sshDemo(t), "--viewer=full="+fullDemo(t))
	fillLists(t, s)
	calls := listCalls(t, s)
	protoregistry.GlobalFiles.RangeFilesByPackage("runicornapi.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				method := methods.Get(j)
				if !strings.HasPrefix(string(method.Name()), "List") {
					continue
				}
				call, ok := calls[method.Name()]
				if !ok {
					t.Errorf("no call of %s: add one", method.Name())
					continue
				}
				delete(calls, method.Name())
				t.Run(string(method.Name()), func(t *testing.T) {
					l := &pagedList{t: t, server: s, method: method}
					whole, rest := l.page(call.req, 0, "")
					if rest != "" || len(whole) < call.least {
						t.Fatalf("the whole list has %d entries and continues with %q, want at least %d and an end:\n%s", len(whole), rest, call.least, whole)
					}
					if again := slices.Compact(slices.Sorted(slices.Values(whole))); len(again) != len(whole) {
						t.Fatalf("entries that cannot be told apart: %s", whole)
					}
					if got := l.walk(call.req); !slices.Equal(got, whole) {
						t.Errorf("pages of one entry have\n%s\nwant\n%s", got, whole)
					}
				})
			}
		}
		return true
	})
	for name := range calls {
		t.Errorf("there is no %s", name)
	}
}

// pagedList calls a list by its descriptor.
type pagedList struct {
	t      *testing.T
	server *server
	method protoreflect.MethodDescriptor
}

// page returns the entries of a page and the token of the next one.
func (l *pagedList) page(req proto.Message, size int32, token string) (entries []string, next string) {
	l.t.Helper()
	in := proto.Clone(req).ProtoReflect()
	in.Set(in.Descriptor().Fields().ByName("page_size"), protoreflect.ValueOfInt32(size))
	in.Set(in.Descriptor().Fields().ByName("page_token"), protoreflect.ValueOfString(token))
	kind, err := protoregistry.GlobalTypes.FindMessageByName(l.method.Output().FullName())
	if err != nil {
		l.t.Fatal(err)
	}
	out := kind.New()
	path := fmt.Sprintf("/%s/%s", l.method.Parent().FullName(), l.method.Name())
	if err := l.server.conn.Invoke(l.t.Context(), path, in.Interface(), out.Interface()); err != nil {
		l.t.Fatalf("%s with page_size %d and page_token %q: %v", path, size, token, err)
	}
	fields := out.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsList() && f.Message() != nil && f.Name() != "unreachable" && f.Name() != "not_read" && f.Name() != "references" {
			for j := range out.Get(f).List().Len() {
				entries = append(entries, identity(out.Get(f).List().Get(j).Message()))
			}
			break
		}
	}
	return entries, out.Get(fields.ByName("next_page_token")).String()
}

// walk reads page after page of one entry.
func (l *pagedList) walk(req proto.Message) (all []string) {
	l.t.Helper()
	token := ""
	for range 1000 {
		entries, next := l.page(req, 1, token)
		if len(entries) > 1 {
			l.t.Fatalf("a page of one entry has %s", entries)
		}
		all = append(all, entries...)
		if next == "" {
			return all
		}
		token = next
	}
	l.t.Fatal("the list has no end")
	return nil
}

// names are the fields that identify an entry of a list. Others may change from call to
// call, because the demo has a run that is training.
var names = []protoreflect.Name{
	"viewer", "run_id", "project", "name", "type", "version", "path", "metric_name", "kind", "asset_id", "connection_id", "session_id", "host",
	"key_type", "saved_connection_id",
}

// identity is what an entry is called.
func identity(m protoreflect.Message) string {
	if f := m.Descriptor().Fields().ByName("experiment"); f != nil {
		return identity(m.Get(f).Message())
	}
	var text []string
	for _, name := range names {
		if f := m.Descriptor().Fields().ByName(name); f != nil {
			text = append(text, m.Get(f).String())
		}
	}
	return strings.Join(text, " ")
}
