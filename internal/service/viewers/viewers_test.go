package viewers

import (
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestListViewersDistinguishesGenerations(t *testing.T) {
	h := newHarness(t, nil)
	resp, err := h.Viewers.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name, version, generation string
		canUpdate, hasArtifacts   bool
	}{
		{"v053", "0.5.2", "0.5", false, true},
		{"v060", "0.6.0", "0.6", true, false},
		{"v072", "0.7.2", "0.7", true, false},
	} {
		v := resp.GetViewers()[i]
		if v.GetViewer() != want.name || v.GetVersion() != want.version || v.GetGeneration() != want.generation ||
			v.GetIsDefault() != (i == 0) || v.GetUrl() != h.Upstreams[i].Server.URL ||
			v.GetOrigin() != runicornapiv1.ViewerOrigin_VIEWER_ORIGIN_CONFIGURED {
			t.Errorf("got %v, want %+v", v, want)
		}
		if slices.Contains(v.GetCapabilities(), "experiments.patch") != want.canUpdate ||
			slices.Contains(v.GetCapabilities(), "artifacts.list") != want.hasArtifacts {
			t.Errorf("%s: got capabilities %v", want.name, v.GetCapabilities())
		}
		if hl := v.GetHealth(); hl.GetState() != runicornapiv1.ViewerState_VIEWER_STATE_UP || hl.GetLatency().AsDuration() <= 0 ||
			hl.GetLastSuccessTime() == nil || (hl.GetStorageBackend() != "") != (want.generation == "0.7") {
			t.Errorf("%s: got health %v", want.name, hl)
		}
	}
}

func TestAViewerThatIsDownIsReportedFromMemory(t *testing.T) {
	h := newHarness(t, nil, demotest.Gen07, demotest.Gen06)
	state := func() *runicornapiv1.Viewer {
		t.Helper()
		resp, err := h.Viewers.GetViewer(t.Context(), &runicornapiv1.GetViewerRequest{Viewer: "v072"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetViewer()
	}
	up := state()
	h.Upstreams[0].Fail(http.StatusForbidden)
	if got := state().GetHealth(); got.GetState() != runicornapiv1.ViewerState_VIEWER_STATE_DOWN || got.GetLastError().GetCode() != int32(codes.PermissionDenied) {
		t.Errorf("got health %v, want DOWN with its error", got)
	}
	h.Upstreams[0].Restored()
	if got := state().GetHealth(); got.GetState() != runicornapiv1.ViewerState_VIEWER_STATE_UP || got.GetLastError() != nil {
		t.Errorf("got health %v, want UP again", got)
	}
	h.Upstreams[0].Down()
	down := state()
	if down.GetHealth().GetState() != runicornapiv1.ViewerState_VIEWER_STATE_DOWN || down.GetGeneration() != "0.7" ||
		down.GetVersion() != up.GetVersion() || len(down.GetCapabilities()) == 0 ||
		down.GetHealth().GetLastSuccessTime().AsTime().Before(up.GetHealth().GetLastSuccessTime().AsTime()) {
		t.Errorf("got %v, want DOWN and what is remembered", down)
	}
	_, err := h.Viewers.GetViewer(t.Context(), &runicornapiv1.GetViewerRequest{Viewer: "gone"})
	apierrtest.WantError(t, err, codes.NotFound, "VIEWER_NOT_FOUND")
}

func TestAViewerThatHangsIsBusyAndDelaysNoOtherCall(t *testing.T) {
	h := newHarness(t, nil, demotest.Gen07, demotest.Gen06)
	h.Upstreams[0].Replace(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	resp, err := h.Viewers.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	busy, up := resp.GetViewers()[0].GetHealth(), resp.GetViewers()[1].GetHealth()
	if busy.GetState() != runicornapiv1.ViewerState_VIEWER_STATE_BUSY || up.GetState() != runicornapiv1.ViewerState_VIEWER_STATE_UP ||
		busy.GetLastError().GetCode() != int32(codes.DeadlineExceeded) {
		t.Errorf("got %v and %v, want BUSY and UP", busy, up)
	}
}

func TestConfigIsReadAndWrittenOnlyIfAllowed(t *testing.T) {
	h := newHarness(t, nil, demotest.Gen07)
	config, err := h.Viewers.GetConfig(t.Context(), &runicornapiv1.GetConfigRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if c := config.GetConfig(); c.GetViewer() != "v072" || c.GetStorage() == "" || c.GetConfigFile() == "" || c.GetHomeDirectory() == "" {
		t.Errorf("got %v", c)
	}
	_, err = h.Viewers.UpdateConfig(t.Context(), &runicornapiv1.UpdateConfigRequest{Config: &runicornapiv1.ViewerConfig{StorageRoot: "/other"}})
	if info := apierrtest.WantError(t, err, codes.PermissionDenied, "FEATURE_DISABLED"); info.GetMetadata()["flag"] != "--allow-config-writes" {
		t.Errorf("got metadata %v", info.GetMetadata())
	}
	h = newHarness(t, func(c *Config) { c.AllowConfigWrites = true }, demotest.Gen07)
	for _, root := range []string{"", " ", ".", "relative", "$EMPTY", "/with\nnewline"} {
		_, err = h.Viewers.UpdateConfig(t.Context(), &runicornapiv1.UpdateConfigRequest{Config: &runicornapiv1.ViewerConfig{StorageRoot: root}})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	}
	if got := h.Upstreams[0].Requests("POST /api/config/user_root_dir"); got != 0 {
		t.Errorf("the Viewer was asked %d times to switch to a refused root", got)
	}
	updated, err := h.Viewers.UpdateConfig(t.Context(), &runicornapiv1.UpdateConfigRequest{Config: &runicornapiv1.ViewerConfig{StorageRoot: "/other"}})
	if err != nil || updated.GetConfig().GetStorageRoot() != "/other" || updated.GetConfig().GetConfigFile() == "" {
		t.Errorf("got %v and error %v", updated, err)
	}
	list, err := h.Config.Fleet.Configured()[0].Client.Runs(t.Context())
	if err != nil || len(list.Runs) != 0 {
		t.Errorf("got %v and error %v, want the runs of the new root", list, err)
	}
}

func TestMachineAndStorage(t *testing.T) {
	h := newHarness(t, nil)
	for _, u := range h.Upstreams {
		t.Run(u.Name, func(t *testing.T) {
			gpu, err := h.Viewers.GetGpu(t.Context(), &runicornapiv1.GetGpuRequest{Viewer: u.Name})
			if err != nil || gpu.GetAvailable() || gpu.GetReason() == "" {
				t.Errorf("got GPUs %v and error %v, want none and why", gpu, err)
			}
			system, err := h.Viewers.GetSystem(t.Context(), &runicornapiv1.GetSystemRequest{Viewer: u.Name})
			if err != nil || !system.GetAvailable() || system.GetCpu().GetLogicalCount() == 0 || system.GetMemory().GetTotalBytes() == 0 ||
				system.GetDisk().GetTotalBytes() == 0 || system.GetPlatform().GetSystem() == "" || system.GetReadTime() == nil {
				t.Errorf("got system %v and error %v", system, err)
			}
			checked, err := h.Viewers.CheckStatuses(t.Context(), &runicornapiv1.CheckStatusesRequest{Viewer: u.Name})
			if err != nil || checked.GetMessage() == "" {
				t.Errorf("got check %v and error %v", checked, err)
			}
			stats, err := h.Viewers.GetStorageStats(t.Context(), &runicornapiv1.GetStorageStatsRequest{Viewer: u.Name})
			if u.Name == "v053" {
				info := apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
				if info.GetMetadata()["capability"] != "viewer.storage_stats" {
					t.Errorf("got metadata %v", info.GetMetadata())
				}
				return
			}
			if err != nil || len(stats.GetParts()) != 7 || stats.GetParts()[0].GetPart() != "total" || stats.RunCount == nil {
				t.Errorf("got stats %v and error %v", stats, err)
			}
		})
	}
}
