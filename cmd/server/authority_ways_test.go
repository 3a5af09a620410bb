package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
)

// way is a call that tries to reach a Viewer with a token for another one, and everything
// that it returns.
type way struct {
	name string
	try  func(a *asker) string
}

// methods are all of the contract that name a Viewer, with a request each.
var methods = map[string]string{
	"ExperimentService/ListExperiments":        `{"viewer": "VIEWER"}`,
	"ExperimentService/GetExperiment":          `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ExperimentService/ListProjects":           `{"viewer": "VIEWER"}`,
	"ExperimentService/UpdateExperiment":       `{"experiment": {"viewer": "VIEWER", "run_id": "20200101_000000_cccccc", "alias": "x"}}`,
	"ExperimentService/DeleteExperiments":      `{"viewer": "VIEWER", "run_ids": ["20200101_000000_cccccc"]}`,
	"ExperimentService/ListDeletedExperiments": `{"viewer": "VIEWER"}`,
	"ExperimentService/RestoreExperiments":     `{"viewer": "VIEWER", "run_ids": ["20200101_000000_cccccc"]}`,
	"ExperimentService/PurgeExperiments":       `{"viewer": "VIEWER", "all_deleted": true, "validate_only": true}`,
	"ExperimentService/GetEnvironment":         `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ExperimentService/WatchExperiments":       `{"viewer": "VIEWER"}`,
	"ExperimentService/TailLogs":               `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ExperimentService/ExportExperiment":       `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"MetricService/GetMetrics":                 `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"MetricService/ListMetrics":                `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"MetricService/StreamMetrics":              `{"viewer": "VIEWER", "run_ids": ["RUNID"]}`,
	"MetricService/TailMetrics":                `{"viewer": "VIEWER", "run_ids": ["RUNID"]}`,
	"MetricService/CompareExperiments":         `{"viewer": "VIEWER", "metric_names": ["loss"], "run_ids": ["RUNID"]}`,
	"MetricService/FindBestExperiment":         `{"viewer": "VIEWER", "metric_name": "loss", "run_ids": ["RUNID"]}`,
	"ArtifactService/ListArtifacts":            `{"viewer": "VIEWER"}`,
	"ArtifactService/GetArtifact":              `{"viewer": "VIEWER", "name": "a"}`,
	"ArtifactService/ListArtifactVersions":     `{"viewer": "VIEWER", "name": "a"}`,
	"ArtifactService/ListArtifactFiles":        `{"viewer": "VIEWER", "name": "a"}`,
	"ArtifactService/GetArtifactLineage":       `{"viewer": "VIEWER", "name": "a"}`,
	"ArtifactService/ListExperimentArtifacts":  `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ArtifactService/GetArtifactStats":         `{"viewer": "VIEWER"}`,
	"ArtifactService/PromoteArtifact":          `{"viewer": "VIEWER", "name": "a", "version": 1, "to_stage": "LIFECYCLE_STAGE_PRODUCTION"}`,
	"ArtifactService/DeleteArtifact":           `{"viewer": "VIEWER", "name": "a", "version": 1}`,
	"ArtifactService/ListAssets":               `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ArtifactService/ListImages":               `{"viewer": "VIEWER", "run_id": "RUNID"}`,
	"ArtifactService/DownloadAsset":            `{"viewer": "VIEWER", "run_id": "RUNID", "asset_id": "x"}`,
	"ViewerService/GetViewer":                  `{"viewer": "VIEWER"}`,
	"ViewerService/GetConfig":                  `{"viewer": "VIEWER"}`,
	"ViewerService/UpdateConfig":               `{"config": {"viewer": "VIEWER", "storage_root": "/x"}}`,
	"ViewerService/GetGpu":                     `{"viewer": "VIEWER"}`,
	"ViewerService/GetSystem":                  `{"viewer": "VIEWER"}`,
	"ViewerService/GetStorageStats":            `{"viewer": "VIEWER"}`,
	"ViewerService/CheckStatuses":              `{"viewer": "VIEWER"}`,
	"RemoteService/OpenConnection":             `{"viewer": "VIEWER", "target": {"host": "h", "username": "u"}}`,
	"RemoteService/CloseConnection":            `{"viewer": "VIEWER", "connection_id": "u@h:22"}`,
	"RemoteService/ListConnections":            `{"viewer": "VIEWER"}`,
	"RemoteService/StartViewer":                `{"viewer": "VIEWER", "remote_root": "/r", "connection_id": "u@h:22"}`,
	"RemoteService/StopViewer":                 `{"viewer": "VIEWER", "session_id": "none"}`,
	"RemoteService/ListViewerSessions":         `{"viewer": "VIEWER"}`,
	"RemoteService/GetViewerSession":           `{"viewer": "VIEWER", "session_id": "none"}`,
	"RemoteService/ListDirectory":              `{"viewer": "VIEWER", "connection_id": "u@h:22"}`,
	"RemoteService/CheckPath":                  `{"viewer": "VIEWER", "connection_id": "u@h:22", "path": "/x"}`,
	"RemoteService/ListPythonEnvironments":     `{"viewer": "VIEWER", "connection_id": "u@h:22"}`,
	"RemoteService/GetRemoteConfig":            `{"viewer": "VIEWER", "connection_id": "u@h:22"}`,
	"RemoteService/GetRemoteStatus":            `{"viewer": "VIEWER"}`,
	"RemoteService/AcceptHostKey":              `{"viewer": "VIEWER", "host_key": {"host": "h", "port": 22, "key_type": "ssh-ed25519", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDmsMxIYrNjKgnTRTN4hqVjHNJPUrx7HLVKWCPH1Kp9w", "fingerprint_sha256": "SHA256:x"}}`,
	"RemoteService/ListHostKeys":               `{"viewer": "VIEWER"}`,
	"RemoteService/RemoveHostKey":              `{"viewer": "VIEWER", "host": "h", "key_type": "ssh-ed25519"}`,
	"RemoteService/ListSavedConnections":       `{"viewer": "VIEWER"}`,
	"RemoteService/SaveConnection":             `{"viewer": "VIEWER", "target": {"host": "h", "username": "u"}}`,
	"RemoteService/DeleteSavedConnection":      `{"viewer": "VIEWER", "saved_connection_id": "u@h:22"}`,
}

const resourceName = "viewers/VIEWER/experiments/RUNID"

// namingWays name the Viewer: the answer must be that for a Viewer that there is not.
func namingWays() (ways []way) {
	for _, method := range slices.Sorted(maps.Keys(methods)) {
		ways = append(ways, way{"gRPC " + method, func(a *asker) string { return a.rpc(method, methods[method], 1) }})
	}
	for method, request := range map[string]string{
		"ExperimentService/GetExperiment":     `{"run_id": "` + resourceName + `"}`,
		"ExperimentService/DeleteExperiments": `{"run_ids": ["viewers/VIEWER/experiments/20200101_000000_cccccc"]}`,
		"ExperimentService/ExportExperiment":  `{"run_ids": ["viewers/lab/experiments/` + labRun + `", "` + resourceName + `"]}`,
		"ExperimentService/TailLogs":          `{"run_id": "` + resourceName + `"}`,
		"MetricService/CompareExperiments":    `{"metric_names": ["loss"], "run_ids": ["viewers/lab/experiments/` + labRun + `", "` + resourceName + `"]}`,
		"MetricService/FindBestExperiment":    `{"metric_name": "loss", "run_ids": ["` + resourceName + `"]}`,
		"MetricService/StreamMetrics":         `{"run_ids": ["` + resourceName + `"]}`,
		"MetricService/TailMetrics":           `{"run_ids": ["` + resourceName + `"]}`,
	} {
		ways = append(ways, way{"gRPC by resource name " + method, func(a *asker) string { return a.rpc(method, request, 1) }})
	}
	for _, rest := range []struct{ method, path, body string }{
		{"GET", "/v1/viewers/VIEWER", ""},
		{"GET", "/v1/viewers/VIEWER/config", ""},
		{"GET", "/v1/viewers/VIEWER/gpu", ""},
		{"GET", "/v1/experiments?viewer=VIEWER", ""},
		{"GET", "/v1/viewers/VIEWER/experiments/RUNID", ""},
		{"GET", "/v1/viewers/VIEWER/experiments/RUNID/metrics", ""},
		{"GET", "/v1/viewers/VIEWER/experiments/RUNID:export", ""},
		{"POST", "/v1/experiments:delete", `{"run_ids": ["viewers/VIEWER/experiments/20200101_000000_cccccc"]}`},
		{"POST", "/v1/experiments:purge", `{"viewer": "VIEWER", "run_ids": ["20200101_000000_cccccc"]}`},
		{"PATCH", "/v1/viewers/VIEWER/experiments/20200101_000000_cccccc", `{"alias": "x"}`},
		{"GET", "/v1/metrics:tail?viewer=VIEWER&run_ids=RUNID", ""},
		{"GET", "/v1/remote/connections?viewer=VIEWER", ""},
		{"GET", "/readyz?viewer=VIEWER", ""},
		{"GET", "/api/runs/" + resourceName, ""},
		{"GET", "/api/metrics/" + resourceName, ""},
		{"GET", "/api/experiments/" + resourceName + "/artifacts", ""},
		{"POST", "/api/export", `{"run_id": "` + resourceName + `", "format": "json"}`},
	} {
		ways = append(ways, way{"HTTP " + rest.method + " " + rest.path, func(a *asker) string { return a.get(rest.method, rest.path, rest.body) }})
	}
	return append(
		ways,
		way{"HTTP HEAD of an export", func(a *asker) string { return a.get("HEAD", "/v1/viewers/VIEWER/experiments/RUNID:export", "") }},
		way{"SSE tail", func(a *asker) string {
			return a.get("GET", "/v1/metrics:tail?viewer=VIEWER&run_ids=RUNID", "", "Accept", "text/event-stream")
		}},
		way{"SSE watch", func(a *asker) string {
			return a.get("GET", "/v1/experiments:watch?viewer=VIEWER", "", "Accept", "text/event-stream")
		}},
		way{"Flight DoGet of an export", func(a *asker) string { return a.ticket(`{"export": {"viewer": "VIEWER", "run_id": "RUNID"}}`) }},
		way{"Flight DoGet of a tail", func(a *asker) string { return a.ticket(`{"tail": {"viewer": "VIEWER", "run_ids": ["RUNID"]}}`) }},
		way{"Flight GetFlightInfo", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			info, err := flight.NewFlightServiceClient(a.conn).GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{a.viewer, a.run}})
			return a.text(info, err)
		}},
		way{"Flight GetSchema", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			schema, err := flight.NewFlightServiceClient(a.conn).GetSchema(ctx, command(a.fill(`{"export": {"viewer": "VIEWER", "run_id": "RUNID"}}`)))
			return a.text(schema, err)
		}},
		way{"Flight ListFlights", func(a *asker) string { return a.flights(`{"viewer": "VIEWER"}`) }},
		way{"TensorBoard by the experiment", func(a *asker) string { return a.runsOf("VIEWER") }},
		way{"TensorBoard by the experiment, spelled otherwise", func(a *asker) string {
			upper := strings.ToUpper(a.viewer) // as it must be in the answer: to correct it is to know it
			return strings.ReplaceAll(a.runsOf(upper), upper, "upper "+a.viewer)
		}},
		way{"TensorBoard by the experiment, with a path", func(a *asker) string { return a.runsOf("VIEWER~secret~project") }},
		way{"TensorBoard ReadBlob", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			key := base64.RawURLEncoding.EncodeToString([]byte(a.fill("VIEWER\x00RUNID\x00media/x.png")))
			stream, err := tensorboardpb.NewTensorBoardDataProviderClient(a.conn).ReadBlob(ctx, &tensorboardpb.ReadBlobRequest{BlobKey: key})
			if err != nil {
				return a.text(nil, err)
			}
			got, err := stream.Recv()
			return a.text(got, err)
		}},
		way{"gRPC health Check", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			got, err := healthpb.NewHealthClient(a.conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "viewer/" + a.viewer})
			return a.text(got, err)
		}},
		way{"gRPC health Watch", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			stream, err := healthpb.NewHealthClient(a.conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: "viewer/" + a.viewer})
			if err != nil {
				return a.text(nil, err)
			}
			got, err := stream.Recv()
			return a.text(got, err)
		}},
		way{"a filter that names it", func(a *asker) string {
			return a.rpc("ExperimentService/ListExperiments", `{"viewer": "-", "filter": "viewer = \"VIEWER\""}`, 1)
		}},
		way{"an export by a filter that names it", func(a *asker) string {
			return a.rpc("ExperimentService/ExportExperiment", `{"viewer": "-", "filter": "viewer = \"VIEWER\""}`, 1)
		}},
		way{"the header of the connection in memory, over HTTP", func(a *asker) string {
			return a.get("GET", "/v1/viewers/VIEWER", "", "Runicorn-Client-Cert-Bin", "AAAA", "Grpc-Metadata-Authorization", "Bearer "+tokenOfAll)
		}},
		way{"the same over gRPC", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "runicorn-client-cert-bin", "x", "runicorn-http-peer", "127.0.0.1:1")
			got, err := runicornapiv1.NewViewerServiceClient(a.conn).GetViewer(ctx, &runicornapiv1.GetViewerRequest{Viewer: a.viewer})
			return a.text(got, err)
		}},
		way{"a resume token of its tail", func(a *asker) string {
			return a.resume("MetricService/TailMetrics", `"run_ids": ["RUNID"], "viewer": "VIEWER"`, ``)
		}},
		way{"a resume token of its text log", func(a *asker) string {
			return a.resume("ExperimentService/TailLogs", `"run_id": "RUNID", "viewer": "VIEWER"`, `"run_id": "`+resourceName+`"`)
		}},
		way{"a resume token of a filter", func(a *asker) string {
			return a.resume("MetricService/TailMetrics", `"filter": "path = \"secret/project\"", "viewer": "VIEWER"`, `"filter": "path = \"secret/project\""`)
		}},
	)
}

// listingWays name no Viewer: the answer must have none but the caller's.
func listingWays() []way {
	list := func(method, request string) way {
		return way{"gRPC " + method + " " + request, func(a *asker) string { return a.rpc(method, request, 12) }}
	}
	get := func(path string) way {
		return way{"HTTP " + path, func(a *asker) string { return a.get("GET", path, "") }}
	}
	return []way{
		list("ViewerService/ListViewers", `{}`),
		list("ExperimentService/ListExperiments", `{}`),
		list("ExperimentService/ListExperiments", `{"viewer": "-"}`),
		list("ExperimentService/ListExperiments", `{"viewer": "-", "order_by": "viewer"}`),
		list("ExperimentService/ListProjects", `{"viewer": "-"}`),
		list("ExperimentService/WatchExperiments", `{"viewer": "-", "heartbeat_interval": "1s"}`),
		list("ExperimentService/WatchExperiments", `{"viewer": ""}`),
		list("MetricService/FindBestExperiment", `{"viewer": "-", "metric_name": "loss", "filter": "path = \"secret/project\" OR path = \"of-lab\""}`),
		list("MetricService/TailMetrics", `{"viewer": "-", "filter": "status = RUNNING", "heartbeat_interval": "1s"}`),
		list("ExperimentService/GetExperiment", `{"run_id": "`+hiddenRun+`"}`),
		list("ExperimentService/GetExperiment", `{"viewer": "none", "run_id": "x"}`),
		list("ViewerService/GetConfig", `{}`),
		get("/v1/viewers"), get("/v1/experiments?viewer=-"), get("/api/experiments"), get("/api/projects"), get("/metrics"),
		{"SSE watch of all", func(a *asker) string {
			return a.get("GET", "/v1/experiments:watch?viewer=-", "", "Accept", "text/event-stream")
		}},
		{"Flight ListFlights of all", func(a *asker) string { return a.flights(`{"viewer": "-"}`) }},
		{"Flight DoGet of a tail of all", func(a *asker) string {
			return a.ticket(`{"tail": {"viewer": "-", "filter": "path = \"secret/project\""}}`)
		}},
		{"TensorBoard of all", func(a *asker) string { return a.runsOf("") }},
		{"gRPC health List", func(a *asker) string {
			ctx, cancel := a.context()
			defer cancel()
			got, err := healthpb.NewHealthClient(a.conn).List(ctx, &healthpb.HealthListRequest{})
			return a.text(got, err)
		}},
		{"a page token of somebody who sees all", func(a *asker) string {
			first := *a
			first.token = tokenOfAll
			next := regexp.MustCompile(`"nextPageToken":"([^"]+)"`).FindStringSubmatch(first.rpc("ExperimentService/ListExperiments", `{"viewer": "-", "page_size": 1, "order_by": "viewer desc"}`, 1))
			if next == nil {
				a.t.Fatal("no page token")
			}
			return a.rpc("ExperimentService/ListExperiments", `{"viewer": "-", "page_size": 50, "order_by": "viewer desc", "page_token": "`+next[1]+`"}`, 1)
		}},
	}
}

// flights lists experiments over Arrow Flight.
func (a *asker) flights(criteria string) string {
	ctx, cancel := a.context()
	defer cancel()
	stream, err := flight.NewFlightServiceClient(a.conn).ListFlights(ctx, &flight.Criteria{Expression: []byte(a.fill(criteria))})
	var received strings.Builder
	for err == nil {
		var info *flight.FlightInfo
		if info, err = stream.Recv(); err == nil {
			fmt.Fprint(&received, info.GetFlightDescriptor().GetPath(), string(info.GetAppMetadata()))
		}
	}
	return received.String() + err.Error()
}

// runsOf lists the runs of an experiment as TensorBoard does.
func (a *asker) runsOf(experiment string) string {
	ctx, cancel := a.context()
	defer cancel()
	got, err := tensorboardpb.NewTensorBoardDataProviderClient(a.conn).ListRuns(ctx, &tensorboardpb.ListRunsRequest{ExperimentId: a.fill(experiment)})
	return a.text(got, err)
}

// ticket gets the first part of a table over Arrow Flight.
func (a *asker) ticket(text string) string {
	ctx, cancel := a.context()
	defer cancel()
	stream, err := flight.NewFlightServiceClient(a.conn).DoGet(ctx, &flight.Ticket{Ticket: []byte(a.fill(text))})
	var received strings.Builder
	for range 3 {
		var data *flight.FlightData
		if err == nil {
			data, err = stream.Recv()
		}
		received.WriteString(a.text(data, err) + string(data.GetDataBody()))
		if err != nil {
			break
		}
	}
	return received.String()
}

var resumeToken = regexp.MustCompile(`"resumeToken":"([^"]+)"`)

// resume has somebody who sees all open a stream of the hidden Viewer, and continues with
// its token, in which the Viewer is called as this caller calls it.
func (a *asker) resume(method, fields, again string) string {
	a.t.Helper()
	first := *a
	first.token, first.viewer = tokenOfAll, "gpu1"
	received := first.rpc(method, `{`+fields+`, "heartbeat_interval": "1s"}`, 12)
	found := resumeToken.FindAllStringSubmatch(received, -1)
	if found == nil {
		a.t.Fatalf("no resume token in %s", received)
	}
	token, err := base64.RawURLEncoding.DecodeString(found[len(found)-1][1])
	if err != nil {
		a.t.Fatal(err)
	}
	body := []byte(strings.ReplaceAll(string(token[:len(token)-4]), "gpu1", a.viewer))
	text := base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body)))
	if again != "" {
		again += ", "
	}
	return a.rpc(method, `{`+again+`"resume_token": "`+text+`", "heartbeat_interval": "1s"}`, 1)
}

func TestATokenForSomeViewersCannotReachOtherViewers(t *testing.T) {
	t.Parallel()
	p := newLimited(t)
	conn, client := p.dial(t), plainClient(t)
	startSession(t, conn)
	awaitAnswer := asker{t: t, p: p, conn: conn, http: client, token: tokenOfAll}
	await(t, func() bool {
		return strings.Contains(awaitAnswer.rpc("ViewerService/ListViewers", `{}`, 1), "ssh.abcd1234")
	})
	ask := func(t *testing.T, w way, token, viewer string) string {
		t.Helper()
		return w.try(&asker{t: t, p: p, conn: conn, http: client, token: token, viewer: viewer, run: hiddenRun})
	}
	count := 0
	for _, w := range namingWays() {
		count++
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			hidden, none, all := ask(t, w, tokenOfLab, "gpu1"), ask(t, w, tokenOfLab, "gpu9"), ask(t, w, tokenOfAll, "gpu1")
			t.Logf("WAY | %s | %s", w.name, summary(hidden))
			if got := strings.ReplaceAll(hidden, "gpu1", "gpu9"); got != none || strings.Contains(hidden, hiddenAlias) {
				t.Errorf("a hidden Viewer:\n%s\none that there is not:\n%s", hidden, none)
			}
			if all == hidden {
				t.Errorf("somebody who sees all gets the same, so this proves nothing:\n%s", all)
			}
		})
	}
	for _, w := range listingWays() {
		count++
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			mine, all := ask(t, w, tokenOfLab, ""), ask(t, w, tokenOfAll, "")
			t.Logf("WAY | %s | %s", w.name, summary(mine))
			isHidden := regexp.MustCompile(`gpu1|"ssh|/ssh|ssh\.|"secret"|secret/project|` + hiddenAlias)
			if found := isHidden.FindString(strings.ReplaceAll(mine, `path = "secret/project"`, "")); found != "" {
				t.Errorf("%q is in\n%s", found, mine)
			}
			if !isHidden.MatchString(all) {
				t.Errorf("somebody who sees all does not see it, so this proves nothing:\n%s", all)
			}
		})
	}
	// What a Viewer has tunneled is its own.
	for _, w := range namingWays() {
		if !strings.HasPrefix(w.name, "gRPC ViewerService") && !strings.Contains(w.name, "health") && !strings.Contains(w.name, "/v1/viewers/VIEWER") {
			continue
		}
		count++
		t.Run("tunneled, "+w.name, func(t *testing.T) {
			t.Parallel()
			hidden, none, own := ask(t, w, tokenOfLab, "ssh.abcd1234"), ask(t, w, tokenOfLab, "sxx.abcd1234"), ask(t, w, tokenOfSSH, "ssh.abcd1234")
			t.Logf("WAY | tunneled, %s | %s", w.name, summary(hidden))
			if strings.ReplaceAll(hidden, "ssh.", "sxx.") != none {
				t.Errorf("a hidden Viewer:\n%s\none that there is not:\n%s", hidden, none)
			}
			if own == hidden && !strings.Contains(w.name, "UpdateConfig") {
				t.Errorf("the token of its parent gets the same:\n%s", own)
			}
		})
	}
	if count < 50 {
		t.Errorf("%d ways", count)
	}
}

// summary is an answer for the table of ways: its code and its reason.
func summary(received string) string {
	code, _, _ := strings.Cut(received, " ")
	if reason := regexp.MustCompile(`"reason":\s*"([A-Z_]+)"|\[([A-Z_]+)\]`).FindStringSubmatch(received); reason != nil {
		return code + " " + reason[1] + reason[2]
	}
	if len(code) > 40 {
		return "what is the caller's own"
	}
	return code
}

func TestTheWaysNameEveryMethodOfTheContract(t *testing.T) {
	t.Parallel()
	for _, file := range []protoreflect.FileDescriptor{
		runicornapiv1.File_runicornapi_v1_experiment_service_proto, runicornapiv1.File_runicornapi_v1_metric_service_proto,
		runicornapiv1.File_runicornapi_v1_artifact_service_proto, runicornapiv1.File_runicornapi_v1_remote_service_proto,
		runicornapiv1.File_runicornapi_v1_viewer_service_proto,
	} {
		all := file.Services().Get(0).Methods()
		for i := range all.Len() {
			name := string(file.Services().Get(0).Name()) + "/" + string(all.Get(i).Name())
			if methods[name] == "" && name != "ViewerService/ListViewers" {
				t.Errorf("no way by %s", name)
			}
		}
	}
}

func TestWithoutATokenNoResponseNamesAViewer(t *testing.T) {
	t.Parallel()
	p := newLimited(t)
	a := &asker{t: t, p: p, conn: p.dial(t), http: plainClient(t), viewer: "gpu1", run: hiddenRun}
	for _, w := range append(namingWays(), listingWays()...) {
		if strings.Contains(w.name, "token of") {
			continue
		}
		received := w.try(a)
		isRefused := strings.Contains(received, "TOKEN_INVALID") || strings.HasPrefix(received, "401") || strings.Contains(received, `"reason":"UNAUTHORIZED"`)
		if w.name == "gRPC health List" {
			isRefused = !strings.Contains(received, "viewer/")
		}
		if !isRefused && !strings.Contains(received, "too many calls without a valid token") || strings.Contains(received, "gpu1") {
			t.Errorf("%s: %s", w.name, received)
		}
	}
	health := healthpb.NewHealthClient(a.conn)
	if _, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("the health of the server itself: %v", err)
	}
	for _, path := range []string{"/healthz", "/readyz", "/", "/openapi.json"} {
		if received := a.get("GET", path, ""); !strings.HasPrefix(received, "200") {
			t.Errorf("%s: %.100s", path, received)
		}
	}
}

func TestTheMetricsNeedATokenUnlessTheyAreOpen(t *testing.T) {
	t.Parallel()
	closed, open := newLimited(t), newLimited(t, "--metrics-open")
	for token, want := range map[string]string{"": "401", tokenOfLab: "403", "wrong": "401", tokenOfAll: "200"} {
		a := &asker{t: t, p: closed, http: plainClient(t), token: token}
		if got := a.get("GET", "/metrics", ""); !strings.HasPrefix(got, want) {
			t.Errorf("token %q: %.200s, want %s", token, got, want)
		}
		a.p = open
		if got := a.get("GET", "/metrics", ""); !strings.HasPrefix(got, "200") {
			t.Errorf("token %q where they are open: %.200s", token, got)
		}
	}
}

// TestStreamsOfALimitedTokenDoNotSeeViewersThatComeAndGo has a Viewer tunnel another one
// while two callers watch all that they may.
func TestStreamsOfALimitedTokenDoNotSeeViewersThatComeAndGo(t *testing.T) {
	t.Parallel()
	p := newLimited(t)
	conn := p.dial(t)
	watch := func(token string) grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse] {
		stream, err := runicornapiv1.NewExperimentServiceClient(conn).WatchExperiments(withToken(t.Context(), token),
			&runicornapiv1.WatchExperimentsRequest{Viewer: "-", HeartbeatInterval: durationpb.New(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	// until reads until a heartbeat satisfies a condition.
	until := func(stream grpc.ServerStreamingClient[runicornapiv1.WatchExperimentsResponse], wanted func(*runicornapiv1.WatchExperimentsResponse) bool) (received string) {
		for {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			text, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if received += string(text); wanted(m) {
				return received
			}
		}
	}
	isHeartbeat := func(m *runicornapiv1.WatchExperimentsResponse) bool { return m.GetHeartbeat() != nil }
	lab, all := watch(tokenOfLab), watch(tokenOfAll)
	until(lab, isHeartbeat)
	until(all, isHeartbeat)
	startSession(t, conn)
	until(all, func(m *runicornapiv1.WatchExperimentsResponse) bool {
		text, _ := proto.Marshal(m)
		return strings.Contains(string(text), "ssh")
	})
	if received := until(lab, isHeartbeat); strings.Contains(received, "ssh") || strings.Contains(received, "gpu1") {
		t.Errorf("the limited one receives %q", received)
	}
}

func TestALimitedTokenSeesItsViewersOnly(t *testing.T) {
	t.Parallel()
	p := newLimited(t)
	a := &asker{t: t, p: p, conn: p.dial(t), http: plainClient(t), token: tokenOfLab, viewer: "lab", run: labRun}
	for _, w := range namingWays() {
		if strings.Contains(w.name, "RemoteService") || strings.Contains(w.name, "remote/") || strings.Contains(w.name, "UpdateConfig") || strings.Contains(w.name, "resume token") {
			continue
		}
		received := w.try(a)
		for _, refused := range []string{"VIEWER_NOT_FOUND", "TOKEN_INVALID", "ROLE_REQUIRED", "unknown service"} {
			if strings.Contains(received, refused) {
				t.Errorf("%s: %s", w.name, received)
			}
		}
	}
	if received := a.rpc("ViewerService/ListViewers", `{}`, 1); strings.Count(received, `"isDefault":true`) != 1 {
		t.Errorf("no default viewer of its own: %s", received)
	}
	if code, reason := outcome(a.conn.Invoke(withToken(t.Context(), tokenOfLab), runicornapiv1.RemoteService_ListConnections_FullMethodName,
		&runicornapiv1.ListConnectionsRequest{Viewer: "lab"}, &runicornapiv1.ListConnectionsResponse{})); code != codes.PermissionDenied || reason != "ROLE_REQUIRED" {
		t.Errorf("RemoteService of its own Viewer: %v %s", code, reason)
	}
}
