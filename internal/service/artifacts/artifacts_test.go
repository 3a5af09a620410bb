package artifacts

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestGetArtifact_ByEveryForm(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	two := int32(2)
	for _, tt := range []struct {
		name string
		req  *runicornapiv1.GetArtifactRequest
		want string
	}{
		{"name is the latest", &runicornapiv1.GetArtifactRequest{Name: "resnet-model"}, "resnet-model:v3"},
		{"name:vN", &runicornapiv1.GetArtifactRequest{Name: "resnet-model:v1"}, "resnet-model:v1"},
		{"name:N", &runicornapiv1.GetArtifactRequest{Name: "resnet-model:2"}, "resnet-model:v2"},
		{"name:alias", &runicornapiv1.GetArtifactRequest{Name: "resnet-model:latest"}, "resnet-model:v3"},
		{"a version", &runicornapiv1.GetArtifactRequest{Name: "resnet-model", Version: &two}, "resnet-model:v2"},
		{"an alias", &runicornapiv1.GetArtifactRequest{Name: "resnet-model", Alias: "latest", Type: "model"}, "resnet-model:v3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := h.Artifacts.GetArtifact(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			v := resp.GetArtifactVersion()
			if v.GetArtifactId() != tt.want || v.GetType() != "model" || v.GetFileCount() != 2 || len(v.GetMetadata()) != 2 {
				t.Errorf("got %v", v)
			}
			// The Viewer's details call every version "latest".
			if isLatest := len(v.GetAliases()) == 1; isLatest != (v.GetVersion() == 3) {
				t.Errorf("aliases %q of version %d", v.GetAliases(), v.GetVersion())
			}
		})
	}
}

func TestGetArtifact_NotFound(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	for _, req := range []*runicornapiv1.GetArtifactRequest{
		{Name: "nothing"},
		{Name: "nothing:v1"},
		{Name: "resnet-model:v99"},
		{Name: "resnet-model:champion"},
		{Name: "resnet-model", Alias: "champion"},
		{Name: "resnet-model", Type: "dataset"},
	} {
		_, err := h.Artifacts.GetArtifact(t.Context(), req)
		apierrtest.WantError(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
		_, err = h.Artifacts.GetArtifactLineage(t.Context(), &runicornapiv1.GetArtifactLineageRequest{
			Name: req.GetName(), Alias: req.GetAlias(), Type: req.GetType(),
		})
		apierrtest.WantError(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
	}
}

func TestArtifacts_RefusedWithoutAskingTheViewer(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	asked := h.Upstreams[0].Counted("/")
	one := int32(1)
	for _, name := range []string{"m:", "m:v0", "m:0", "m:v-1", "m:-1", "m:v99999999999", "..", "../x", "a%2f..", "/etc", "a/b", ":v1", "m\x00"} {
		_, err := h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: name})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		_, err = h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: name, Version: &one})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	}
	zero := int32(0)
	_, err := h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "m", Version: &zero})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "m:v1", Version: &one})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	for _, name := range []string{"m", "m:latest"} {
		_, err = h.Artifacts.PromoteArtifact(t.Context(), &runicornapiv1.PromoteArtifactRequest{Name: name, ToStage: stages["staging"]})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		_, err = h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: name})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests upstream", n)
	}
}

func TestListArtifacts_PagesOverViewers(t *testing.T) {
	h := newHarness(t, demotest.Gen05, demotest.Gen05, demotest.Gen06)
	var got []string
	req := &runicornapiv1.ListArtifactsRequest{Viewer: "-", PageSize: 1}
	for {
		page, err := h.Artifacts.ListArtifacts(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		// A Viewer without artifacts is reported, so that the count is not taken for the
		// total.
		if page.TotalSize != nil || len(page.GetUnreachable()) != 1 || codes.Code(page.GetUnreachable()[0].GetError().GetCode()) != codes.Unimplemented { //nolint:gosec // a code
			t.Fatalf("total %v, unreachable %v", page.TotalSize, page.GetUnreachable())
		}
		for _, a := range page.GetArtifacts() {
			got = append(got, a.GetViewer()+"/"+a.GetName())
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	want := []string{"v053/cifar-mini", "v053-2/cifar-mini", "v053/resnet-model", "v053-2/resnet-model"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	page, err := h.Artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Type: "dataset"})
	if err != nil || len(page.GetArtifacts()) != 1 || page.GetTotalSize() != 1 {
		t.Errorf("of a type: %v, %v", page, err)
	}
	_, err = h.Artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "v060"})
	if info := apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY"); info.GetMetadata()["instead"] == "" {
		t.Errorf("metadata %v", info.GetMetadata())
	}
}

func TestListArtifacts_WithoutAnyViewerThatHasArtifacts(t *testing.T) {
	h := newHarness(t, demotest.Gen06, demotest.Gen07)
	_, err := h.Artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "-"})
	apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
	h = newHarness(t, demotest.Gen06, demotest.Gen07)
	h.Upstreams[1].Down()
	_, err = h.Artifacts.ListArtifacts(t.Context(), &runicornapiv1.ListArtifactsRequest{Viewer: "-"})
	apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
}

// TestPromotedVersion: Viewer 0.5.3 answers 500 for the details and the files
// of a version that it has promoted itself.
func TestPromotedVersion(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	moved, err := h.Artifacts.PromoteArtifact(t.Context(), &runicornapiv1.PromoteArtifactRequest{Name: "resnet-model:v2", ToStage: stages["staging"], Notes: "good"})
	if err != nil {
		t.Fatal(err)
	}
	want := &runicornapiv1.PromoteArtifactResponse{ArtifactId: "resnet-model:v2", FromStage: stages["experimental"], ToStage: stages["staging"]}
	if diff := cmp.Diff(want, moved, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	resp, err := h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "resnet-model:v2"})
	if err != nil {
		t.Fatal(err)
	}
	v := resp.GetArtifactVersion()
	if v.GetVersion() != 2 || v.GetFileCount() != 2 || v.GetDescription() != "checkpoint 2" || v.GetLifecycleStage() != stages["staging"] {
		t.Errorf("got %v", v)
	}
	var lost []string
	for _, m := range v.GetMissing() {
		lost = append(lost, m.GetField())
	}
	if got := strings.Join(lost, " "); got != "update_time created_by_user reference_count metadata tags manifest_digest" {
		t.Errorf("missing %s", got)
	}
	_, err = h.Artifacts.ListArtifactFiles(t.Context(), &runicornapiv1.ListArtifactFilesRequest{Name: "resnet-model:v2"})
	apierrtest.WantError(t, err, codes.FailedPrecondition, "STATE_CONFLICT")
	if _, err := h.Artifacts.ListArtifactFiles(t.Context(), &runicornapiv1.ListArtifactFilesRequest{Name: "resnet-model:v1"}); err != nil {
		t.Errorf("files of another version: %v", err)
	}
	_, err = h.Artifacts.PromoteArtifact(t.Context(), &runicornapiv1.PromoteArtifactRequest{Name: "resnet-model:1", ToStage: stages["production"]})
	apierrtest.WantError(t, err, codes.InvalidArgument, "VIEWER_REFUSED_REQUEST")
}

func TestDeleteArtifact_ReportsWhetherItIsStillReadable(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	for range 2 { // the mark changes nothing, so that it can be set again
		resp, err := h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "resnet-model:v2"})
		if err != nil || !resp.GetStillReadable() {
			t.Fatalf("marked: %v, %v", resp, err)
		}
	}
	if _, err := h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "resnet-model:v2"}); err != nil {
		t.Errorf("a marked version: %v", err)
	}
	resp, err := h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "resnet-model:v2", Permanent: true})
	if err != nil || resp.GetStillReadable() || resp.GetArtifactId() != "resnet-model:v2" {
		t.Fatalf("removed: %v, %v", resp, err)
	}
	_, err = h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "resnet-model:v2"})
	apierrtest.WantError(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
	_, err = h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "resnet-model:v2", Permanent: true})
	apierrtest.WantError(t, err, codes.NotFound, "ARTIFACT_NOT_FOUND")
	versions, err := h.Artifacts.ListArtifactVersions(t.Context(), &runicornapiv1.ListArtifactVersionsRequest{Name: "resnet-model"})
	if err != nil || len(versions.GetArtifactVersions()) != 2 || versions.GetArtifactVersions()[0].GetVersion() != 3 {
		t.Errorf("left: %v, %v", versions, err)
	}
}

func TestArtifacts_OfOneNameAndSeveralTypes(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	h.Upstreams[0].Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/artifacts" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `[{"name":"x","type":"model","latest_version":1},{"name":"x","type":"dataset","latest_version":2}]`)
		return true
	})
	_, err := h.Artifacts.GetArtifact(t.Context(), &runicornapiv1.GetArtifactRequest{Name: "x"})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = h.Artifacts.DeleteArtifact(t.Context(), &runicornapiv1.DeleteArtifactRequest{Name: "x:1", Permanent: true})
	apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
}

func TestArtifactLineageAndStats(t *testing.T) {
	h := newHarness(t, demotest.Gen05)
	graph, err := h.Artifacts.GetArtifactLineage(t.Context(), &runicornapiv1.GetArtifactLineageRequest{Name: "resnet-model:3"})
	if err != nil {
		t.Fatal(err)
	}
	if graph.GetRootNodeId() != "resnet-model:v3" || len(graph.GetNodes()) != 2 || len(graph.GetEdges()) != 1 {
		t.Fatalf("graph %v", graph)
	}
	maker, edge := graph.GetNodes()[1], graph.GetEdges()[0]
	if maker.GetRunId() == "" || edge.GetSource() != maker.GetNodeId() || edge.GetTarget() != "resnet-model:v3" || edge.GetType() != runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_PRODUCES {
		t.Errorf("maker %v, edge %v", maker, edge)
	}
	stats, err := h.Artifacts.GetArtifactStats(t.Context(), &runicornapiv1.GetArtifactStatsRequest{})
	if err != nil || stats.GetVersionCount() != 4 || len(stats.GetTypes()) != 2 || stats.GetTypes()[1].GetType() != "model" {
		t.Errorf("stats %v, %v", stats, err)
	}
}
