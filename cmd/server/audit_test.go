package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// auditLines reads an audit log.
func auditLines(t *testing.T, path string) (records []interceptor.AuditRecord) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r interceptor.AuditRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r.Time.IsZero() || r.RPC == "" || r.Code == "" || r.Peer == "" {
			t.Errorf("%s lacks something", line)
		}
		records = append(records, r)
	}
	return records
}

func TestTheAuditLogHasChangesAdminsCallsAndRefusalsAndNoSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	p := newLimited(t, "--audit-log="+path)
	a := &asker{t: t, p: p, conn: p.dial(t), http: plainClient(t), token: tokenOfLab, viewer: "lab", run: labRun}
	a.rpc("ExperimentService/ListExperiments", `{"viewer": "VIEWER"}`, 1)
	a.get("GET", "/v1/viewers", "")
	a.rpc("ExperimentService/UpdateExperiment", `{"experiment": {"viewer": "VIEWER", "run_id": "RUNID", "alias": "x"}}`, 1)
	a.rpc("ExperimentService/DeleteExperiments", `{"viewer": "VIEWER", "run_ids": ["RUNID", "20200101_000000_cccccc"]}`, 1)
	a.get("POST", "/v1/experiments:restore", `{"run_ids": ["`+resourceName+`"]}`)
	a.rpc("RemoteService/OpenConnection", `{"viewer": "VIEWER", "target": {"host": "h", "username": "u", "password": "canary", "private_key": "canary"}}`, 1)
	a.viewer = "gpu1"
	a.rpc("MetricService/TailMetrics", `{"viewer": "VIEWER", "run_ids": ["RUNID"]}`, 1)
	a.get("GET", "/readyz?viewer=VIEWER", "")
	a.get("GET", "/metrics", "")
	a.token = "canary-of-nobody"
	a.get("POST", "/v1/experiments:delete", `{"run_ids": ["RUNID"]}`)
	a.rpc("ViewerService/ListViewers", `{}`, 1)
	want := []string{ // who, what, on what, outcome
		"ann /runicornapi.v1.ExperimentService/UpdateExperiment lab OK 0",
		"ann /runicornapi.v1.ExperimentService/DeleteExperiments lab OK 1",
		"ann /runicornapi.v1.ExperimentService/RestoreExperiments  OK 0",
		"ann /runicornapi.v1.RemoteService/OpenConnection  PermissionDenied ROLE_REQUIRED 0",
		"ann /runicornapi.v1.MetricService/TailMetrics gpu1 NotFound VIEWER_NOT_FOUND 0",
		"ann GET /readyz  NotFound 0",
		"ann GET /metrics  PermissionDenied ROLE_REQUIRED 0",
		" POST /v1/experiments:delete  Unauthenticated TOKEN_INVALID 0",
		" /runicornapi.v1.ViewerService/ListViewers  Unauthenticated TOKEN_INVALID 0",
	}
	slices.Sort(want)
	var got []string
	await(t, func() bool { // those that the tap refuses are written in the background
		got = nil
		for _, r := range auditLines(t, path) {
			viewer, _ := r.On["viewer"].(string)
			line := strings.Join([]string{r.Name, r.RPC, viewer, r.Code}, " ")
			if r.Reason != "" {
				line += " " + r.Reason
			}
			got = append(got, line+" "+string(rune('0'+r.Failed)))
		}
		slices.Sort(got)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") || !strings.Contains(string(text), `"run_ids":["`+labRun+`","20200101_000000_cccccc"]`) {
		t.Errorf("a secret, or no ids:\n%s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestTheAuditLogIsReopenedAfterItWasMoved(t *testing.T) { // not parallel: the signal is the whole process's
	path := filepath.Join(t.TempDir(), "audit.log")
	p := start(t, "--demo", "--audit-log="+path)
	viewers := runicornapiv1.NewViewerServiceClient(p.dial(t))
	change := func() {
		if _, err := viewers.CheckStatuses(t.Context(), &runicornapiv1.CheckStatusesRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	change()
	for _, old := range []string{path + ".1", path + ".2"} {
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		if old == path+".2" {
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { _, err := os.Stat(path); return err == nil })
		}
		change()
		if before, after := len(auditLines(t, old)), len(auditLines(t, path)); before != 1 || after != 1 {
			t.Errorf("%d lines in the old file and %d in the new one", before, after)
		}
	}
}

func TestAFullDiskIsReportedAndFailsNoCall(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no full disk to offer")
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--demo", "--audit-log="+path)
	conn, client := p.dial(t), plainClient(t)
	awaitHealth(t, conn, "audit_log", healthpb.HealthCheckResponse_SERVING)
	for range 3 {
		if _, err := runicornapiv1.NewViewerServiceClient(conn).CheckStatuses(t.Context(), &runicornapiv1.CheckStatusesRequest{}); err != nil {
			t.Fatalf("a call is lost: %v", err)
		}
	}
	awaitHealth(t, conn, "audit_log", healthpb.HealthCheckResponse_NOT_SERVING)
	if _, text := p.get(t, client, "/metrics", ""); !strings.Contains(text, "runicorn_grpc_audit_up 0") {
		t.Error("the metrics do not tell")
	}
	if code, text := p.get(t, client, "/readyz", ""); code != http.StatusOK || !strings.Contains(text, `"audit_log":"NOT_SERVING"`) {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if err := os.Remove(path); err != nil { // the disk has room again
		t.Fatal(err)
	}
	awaitHealth(t, conn, "audit_log", healthpb.HealthCheckResponse_SERVING)
	if got := len(auditLines(t, path)); got != 3 {
		t.Errorf("%d of 3 lines were kept", got)
	}
	if got := strings.Count(p.stderr.String(), "the audit log cannot be written"); got != 1 {
		t.Errorf("logged %d times", got)
	}
}

func TestAnAuditLogThatCannotBeOpenedIsAnErrorOfItsFlag(t *testing.T) {
	t.Parallel()
	log := newOutput()
	if code := run(t.Context(), []string{"--demo", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--audit-log=" + t.TempDir()}, noEnv, newOutput(), log); code != exitUsage || !strings.Contains(log.String(), "--audit-log") {
		t.Errorf("%d %s", code, log)
	}
}
