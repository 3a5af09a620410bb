package compat

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

var noon = &timestamppb.Timestamp{Seconds: 1795446662, Nanos: 500_000_000}

// a session as Viewer 0.6.0 reports it: its host is always 127.0.0.1.
var session = &runicornapiv1.ViewerSession{
	SessionId: "s1", Viewer: "v.s1", Host: "127.0.0.1", SshPort: 22, Username: "u", LocalPort: 8081, RemotePort: 8080,
	RemoteRoot: "/data", ViewerStatus: "running", Active: true, StartTime: noon, Uptime: durationpb.New(1e9),
	RemoteProcessId: proto.Int64(7),
}

const sessionJSON = `"session_id": "s1", "connection_id": "u@gpu:22", "remote_host": "gpu", "remote_port": 8080, "remote_root": "/data",
	"local_port": 8081, "local_url": "http://localhost:8081", "ssh_port": 22, "username": "u", "remote_pid": 7, "status": "running",
	"is_active": true, "created_at": 1795446662.5, "uptime_seconds": 1, "viewer": "v.s1", "unreachable_reason": ""`

var connection = &runicornapiv1.Connection{ConnectionId: "u@gpu:22", Host: "gpu", Port: 22, Username: "u", Connected: true}

const connectionJSON = `"connection_id": "u@gpu:22", "key": "u@gpu:22", "host": "gpu", "port": 22, "username": "u", "connected": true`

const versionJSON = `"id": "m:v2", "name": "m", "type": "model", "version": 2, "size_bytes": 4096, "created_at": 1795446662.5, "updated_at": null,
	"aliases": ["latest"], "metadata": {"accuracy": 0.9}, "created_by_run": "r", "created_by_user": "", "num_files": 1, "num_references": 0,
	"status": "ready", "description": "", "tags": [], "manifest_digest": ""`

var version = &runicornapiv1.ArtifactVersion{
	Name: "m", Type: "model", Version: 2, SizeBytes: 4096, CreateTime: noon, Aliases: []string{"latest"}, CreatedByRunId: "r",
	FileCount: 1, Status: "ready", Metadata: map[string]*runicornapiv1.Value{"accuracy": {Kind: &runicornapiv1.Value_Number{Number: 0.9}}},
}

func TestEveryPathIsOneCallAndOneShape(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, path, body string
		call, answer       proto.Message
		want               string
	}{
		"projects are records": {
			"GET", "/api/projects", "",
			&runicornapiv1.ListProjectsRequest{PageSize: maxPage},
			&runicornapiv1.ListProjectsResponse{Projects: []*runicornapiv1.Project{{Project: "vision", ExperimentCount: 3, RunningCount: 1, UpdateTime: noon}}},
			`{"projects": [{"name": "vision", "experiment_count": 3, "running_count": 1, "latest_update": 1795446662.5}]}`,
		},
		"a configuration": {
			"GET", "/api/config", "",
			&runicornapiv1.GetConfigRequest{},
			&runicornapiv1.GetConfigResponse{Config: &runicornapiv1.ViewerConfig{Viewer: "v", StorageRoot: "/a", Storage: "/b", ConfigFile: "/c"}},
			`{"viewer": "v", "user_root_dir": "/a", "storage": "/b", "config_file": "/c"}`,
		},
		"a changed configuration": {
			"PUT", "/api/config", `{"user_root_dir": "/new"}`,
			&runicornapiv1.UpdateConfigRequest{Config: &runicornapiv1.ViewerConfig{StorageRoot: "/new"}},
			&runicornapiv1.UpdateConfigResponse{Config: &runicornapiv1.ViewerConfig{Storage: "/new", HomeDirectory: "/h", StorageBackend: "s"}},
			`{"viewer": "", "user_root_dir": "", "storage": "/new", "config_file": "", "home_directory": "/h", "storage_backend": "s"}`,
		},
		"graphics processors": {
			"GET", "/api/gpu", "",
			&runicornapiv1.GetGpuRequest{},
			&runicornapiv1.GetGpuResponse{Available: true, ReadTime: noon, Gpus: []*runicornapiv1.Gpu{{Name: "A100", UtilizationPercent: proto.Float64(97)}}},
			`{"available": true, "reason": "", "ts": 1795446662.5, "gpus": [{"index": 0, "name": "A100", "util_gpu": 97, "util_mem": null,
				"mem_total_mib": null, "mem_used_mib": null, "temp_c": null, "power_w": null, "power_limit_w": null, "clock_sm_mhz": null,
				"clock_mem_mhz": null, "fan_speed_pct": null, "pstate": ""}]}`,
		},
		"artifacts": {
			"GET", "/api/artifacts?type=model&limit=2&offset=1", "",
			&runicornapiv1.ListArtifactsRequest{Type: "model", PageSize: 3},
			&runicornapiv1.ListArtifactsResponse{Artifacts: []*runicornapiv1.Artifact{{Name: "before"}, {
				Name: "m", Type: "model", VersionCount: 2, LatestVersion: 2, SizeBytes: 4096, CreateTime: noon, Aliases: map[string]int32{"latest": 2},
			}}},
			`{"artifacts": [{"id": "m:v2", "name": "m", "type": "model", "version": 2, "size_bytes": 4096, "created_at": 1795446662.5,
				"updated_at": null, "aliases": {"latest": 2}, "metadata": {}, "num_versions": 2, "latest_version": 2}]}`,
		},
		"an artifact": {
			"GET", "/api/artifacts/m:v2", "",
			&runicornapiv1.GetArtifactRequest{Name: "m:v2"}, &runicornapiv1.GetArtifactResponse{ArtifactVersion: version}, `{` + versionJSON + `}`,
		},
		"versions, of a name with a space": {
			"GET", "/api/artifacts/my%20model/versions", "",
			&runicornapiv1.ListArtifactVersionsRequest{Name: "my model", PageSize: maxPage},
			&runicornapiv1.ListArtifactVersionsResponse{ArtifactVersions: []*runicornapiv1.ArtifactVersion{version}},
			`{"versions": [{` + versionJSON + `}]}`,
		},
		"lineage": {
			"GET", "/api/artifacts/m:v2/lineage", "",
			&runicornapiv1.GetArtifactLineageRequest{Name: "m:v2"},
			&runicornapiv1.GetArtifactLineageResponse{
				RootNodeId: "m:v2", Edges: []*runicornapiv1.LineageEdge{{Source: "run:r", Target: "m:v2", Type: runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_PRODUCES}},
				Nodes: []*runicornapiv1.LineageNode{{NodeId: "run:r", Type: runicornapiv1.LineageNodeType_LINEAGE_NODE_TYPE_EXPERIMENT, Label: "r"}},
			},
			`{"root_artifact": "m:v2", "nodes": [{"node_type": "run", "node_id": "run:r", "label": "r", "metadata": {}}],
				"edges": [{"source": "run:r", "target": "m:v2", "edge_type": "produces"}]}`,
		},
		"what an experiment used": {
			"GET", "/api/experiments/r/artifacts?relation=used", "",
			&runicornapiv1.ListExperimentArtifactsRequest{RunId: "r", Relation: runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_USED, PageSize: maxPage},
			&runicornapiv1.ListExperimentArtifactsResponse{Artifacts: []*runicornapiv1.ExperimentArtifact{{
				Relation: runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_USED, Name: "d", Type: "dataset", Version: proto.Int32(1),
			}}},
			`{"artifacts": [{"relation": "used", "name": "d", "type": "dataset", "version": 1, "size_bytes": null, "created_at": null,
				"description": "", "aliases": [], "lifecycle_stage": "", "asset_id": ""}]}`,
		},
		"a connection, with what the user left out as null": {
			"POST", "/api/remote/connect", `{"host": "gpu", "port": 22, "username": "u", "password": "pw", "private_key_path": null, "passphrase": null}`,
			&runicornapiv1.OpenConnectionRequest{Target: &runicornapiv1.SshTarget{Host: "gpu", Port: proto.Int32(22), Username: "u", Password: "pw"}},
			&runicornapiv1.OpenConnectionResponse{Connection: connection},
			`{` + connectionJSON + `, "ok": true, "already_connected": false}`,
		},
		"the end of a connection, by its host": {
			"POST", "/api/remote/disconnect", `{"host": "gpu"}`,
			&runicornapiv1.CloseConnectionRequest{ConnectionId: "gpu"},
			&runicornapiv1.CloseConnectionResponse{ConnectionId: "u@gpu:22", StoppedSessionIds: []string{"s1"}},
			`{"ok": true, "message": "Connection removed", "connection_id": "u@gpu:22", "stopped_session_ids": ["s1"]}`,
		},
		"connections": {
			"GET", "/api/remote/sessions", "",
			&runicornapiv1.ListConnectionsRequest{PageSize: maxPage}, &runicornapiv1.ListConnectionsResponse{Connections: []*runicornapiv1.Connection{connection}},
			`{"sessions": [{` + connectionJSON + `}]}`,
		},
		"a remote Viewer, by a bare host": {
			"POST", "/api/remote/viewer/start", `{"connection_id": "gpu", "remote_root": "/data", "local_port": null, "remote_port": 8080}`,
			&runicornapiv1.StartViewerRequest{ConnectionId: "gpu", RemoteRoot: "/data", RemotePort: proto.Int32(8080)},
			&runicornapiv1.StartViewerResponse{Session: session},
			`{` + sessionJSON + `, "ok": true}`,
		},
		"a remote Viewer, with a login as Viewers want it": {
			"POST", "/api/remote/viewer/start", `{"host": "gpu", "username": "u", "password": "pw", "use_agent": false, "conda_env": "ml", "remote_root": "/data"}`,
			&runicornapiv1.StartViewerRequest{
				Target:     &runicornapiv1.SshTarget{Host: "gpu", Username: "u", Password: "pw", UseAgent: new(false)},
				RemoteRoot: "/data", CondaEnv: "ml",
			},
			&runicornapiv1.StartViewerResponse{Session: session},
			`{` + sessionJSON + `, "ok": true}`,
		},
		"a remote Viewer, by a host that is connected": {
			"POST", "/api/remote/viewer/start", `{"host": "gpu", "remote_root": "/data"}`,
			&runicornapiv1.StartViewerRequest{ConnectionId: "gpu", RemoteRoot: "/data"},
			&runicornapiv1.StartViewerResponse{Session: session},
			`{` + sessionJSON + `, "ok": true}`,
		},
		"the end of a connection, by what Viewers want": {
			"POST", "/api/remote/disconnect", `{"host": "gpu", "username": "u"}`,
			&runicornapiv1.CloseConnectionRequest{ConnectionId: "u@gpu:22"},
			&runicornapiv1.CloseConnectionResponse{ConnectionId: "u@gpu:22"},
			`{"ok": true, "message": "Connection removed", "connection_id": "u@gpu:22", "stopped_session_ids": []}`,
		},
		"the end of a remote Viewer": {
			"POST", "/api/remote/viewer/stop", `{"session_id": "s1"}`,
			&runicornapiv1.StopViewerRequest{SessionId: "s1"}, &runicornapiv1.StopViewerResponse{SessionId: "s1"},
			`{"ok": true, "message": "Session s1 stopped", "session_id": "s1"}`,
		},
		"remote Viewers, with the connections that they use": {
			"GET", "/api/remote/viewer/sessions", "",
			&runicornapiv1.GetRemoteStatusRequest{},
			&runicornapiv1.GetRemoteStatusResponse{Connections: []*runicornapiv1.Connection{connection}, Sessions: []*runicornapiv1.ViewerSession{session}},
			`{"sessions": [{` + sessionJSON + `}]}`,
		},
		"the remote status": {
			"GET", "/api/remote/status", "",
			&runicornapiv1.GetRemoteStatusRequest{}, &runicornapiv1.GetRemoteStatusResponse{Connections: []*runicornapiv1.Connection{connection}},
			`{"connections": [{` + connectionJSON + `}], "connection_count": 1, "viewer_sessions": [], "viewer_session_count": 0}`,
		},
		"a remote folder": {
			"GET", "/api/remote/fs/list?connection_id=u%40gpu%3A22&path=~", "",
			&runicornapiv1.ListDirectoryRequest{ConnectionId: "u@gpu:22", Path: "~", PageSize: maxPage},
			&runicornapiv1.ListDirectoryResponse{Path: "/home/u", Entries: []*runicornapiv1.DirectoryEntry{{Name: "data", IsDirectory: true, ModifyTime: noon}}},
			`{"path": "/home/u", "entries": [{"name": "data", "is_dir": true, "size": 0, "mtime": 1795446662.5}],
				"items": [{"name": "data", "is_dir": true, "size": 0, "mtime": 1795446662.5}]}`,
		},
		"a remote path": {
			"GET", "/api/remote/fs/exists?connection_id=gpu&path=/data", "",
			&runicornapiv1.CheckPathRequest{ConnectionId: "gpu", Path: "/data"},
			&runicornapiv1.CheckPathResponse{Path: "/data", Exists: true, IsDirectory: true},
			`{"path": "/data", "exists": true, "is_dir": true}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{unary: func(proto.Message) (proto.Message, error) { return tt.answer, nil }}
			got := mustSend(t, tt.method, b.serve(t)+tt.path, tt.body)
			if got.StatusCode != 200 {
				t.Fatalf("status %d: %s", got.StatusCode, got.body)
			}
			sameJSON(t, got.body, tt.want)
			if diff := cmp.Diff([]proto.Message{tt.call}, b.calls, protocmp.Transform()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if token := b.md.Get("authorization"); !cmp.Equal(token, []string{"Bearer t"}) {
				t.Errorf("the call has the token %q", token)
			}
		})
	}
}

func TestHealthNeedsNoCall(t *testing.T) {
	t.Parallel()
	got := mustSend(t, "GET", (&backend{}).serve(t)+"/api/health", "")
	sameJSON(t, got.body, `{"status": "healthy", "service": "runicorn-grpc"}`)
}
