package artifacts

import (
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestListAssets_OfEveryKind(t *testing.T) {
	h := newHarness(t)
	for _, viewer := range []string{"v060", "v072"} {
		t.Run(viewer, func(t *testing.T) {
			req := &runicornapiv1.ListAssetsRequest{Viewer: viewer, RunId: servicetest.SampleRun(t, h, viewer)}
			resp, err := h.Artifacts.ListAssets(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range resp.GetAssets() {
				names = append(names, strings.TrimPrefix(a.GetType().String(), "ASSET_TYPE_")+" "+a.GetName())
			}
			const want = "CONFIG config, DATASET cifar-mini, DATASET imagenet, PRETRAINED resnet50, " +
				"RUN_FILE events.jsonl, RUN_FILE logs.txt, RUN_FILE status.json, RUN_FILE summary.json"
			if got := strings.Join(names, ", "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			data := resp.GetAssets()[1]
			if !data.GetSaved() || data.GetFileCount() != 2 || data.GetSizeBytes() != 14 || data.GetReferenceCount() != 1 || data.GetSource() != "set" {
				t.Errorf("dataset %v", data)
			}
			if strings.Contains(resp.String(), demoRoot) {
				t.Errorf("a path of the Viewer's machine is shown: %v", resp)
			}
			req.Type = runicornapiv1.AssetType_ASSET_TYPE_PRETRAINED
			if resp, err = h.Artifacts.ListAssets(t.Context(), req); err != nil || len(resp.GetAssets()) != 1 {
				t.Errorf("of a type: %v, %v", resp, err)
			}
		})
	}
	_, err := h.Artifacts.ListAssets(t.Context(), &runicornapiv1.ListAssetsRequest{Viewer: "v053", RunId: servicetest.SampleRun(t, h, "v053")})
	apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
	_, err = h.Artifacts.ListAssets(t.Context(), &runicornapiv1.ListAssetsRequest{Viewer: "v072", RunId: "20200101_000000_abcdef"})
	apierrtest.WantError(t, err, codes.NotFound, "RUN_NOT_FOUND")
}

// demoRoot is where the runs of demo Viewers seem to lie.
const demoRoot = "/demo/storage"

func TestListExperimentArtifacts_MadeAndUsed(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		viewer   string
		relation runicornapiv1.ArtifactRelation
		want     string
	}{
		{"v053", 0, "resnet-model:1 resnet-model:2 resnet-model:3"},
		{"v053", created, "resnet-model:1 resnet-model:2 resnet-model:3"},
		{"v053", used, ""},
		{"v060", 0, "cifar-mini:0 imagenet:0 resnet50:0"},
		{"v072", used, "cifar-mini:0 imagenet:0 resnet50:0"},
		{"v072", created, ""},
	} {
		resp, err := h.Artifacts.ListExperimentArtifacts(t.Context(), &runicornapiv1.ListExperimentArtifactsRequest{
			Viewer: tt.viewer, RunId: servicetest.SampleRun(t, h, tt.viewer), Relation: tt.relation,
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range resp.GetArtifacts() {
			got = append(got, a.GetName()+":"+strconv.Itoa(int(a.GetVersion())))
			if (a.GetAssetId() == "") != (tt.viewer == "v053") || (a.Version != nil) != (tt.viewer == "v053") {
				t.Errorf("%s: %v", tt.viewer, a)
			}
			if isLatest := len(a.GetAliases()) > 0; isLatest != (a.GetVersion() == 3) {
				t.Errorf("aliases of %v", a)
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.viewer, tt.relation, got, tt.want)
		}
	}
}

func TestListImages_WithCaptionsAndPages(t *testing.T) {
	h := newHarness(t)
	for _, viewer := range []string{"v060", "v072"} {
		req := &runicornapiv1.ListImagesRequest{Viewer: viewer, RunId: servicetest.SampleRun(t, h, viewer), PageSize: 1, Key: "samples"}
		var steps []int64
		for {
			page, err := h.Artifacts.ListImages(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, image := range page.GetImages() {
				steps = append(steps, image.GetStep())
				if image.GetCaption() != "augmented" || image.GetLogTime() == nil || !strings.HasSuffix(image.GetFileName(), "_samples.png") {
					t.Errorf("%s: %v", viewer, image)
				}
			}
			if page.GetTotalSize() != 2 {
				t.Errorf("%s: total %d", viewer, page.GetTotalSize())
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		if len(steps) != 2 || steps[0] != 10 || steps[1] != 60 {
			t.Errorf("%s: steps %v", viewer, steps)
		}
		req.Key = "nothing"
		if page, err := h.Artifacts.ListImages(t.Context(), req); err != nil || len(page.GetImages()) != 0 || page.GetTotalSize() != 0 {
			t.Errorf("%s: of an unknown key: %v, %v", viewer, page, err)
		}
	}
	_, err := h.Artifacts.ListImages(t.Context(), &runicornapiv1.ListImagesRequest{Viewer: "v053", RunId: servicetest.SampleRun(t, h, "v053")})
	info := apierrtest.WantError(t, err, codes.Unimplemented, "VIEWER_LACKS_CAPABILITY")
	if !strings.Contains(info.GetMetadata()["instead"], "0.6") {
		t.Errorf("instead: %q", info.GetMetadata()["instead"])
	}
}

func TestListImages_OfAnOddLog(t *testing.T) {
	h := newHarness(t, demotest.Gen06)
	run := servicetest.SampleRun(t, h, "v060")
	h.Upstreams[0].ServeEvents(`{"ts":1.5,"type":"image","data":{"key":"a","path":"../other/media/1.png"}}
{"ts":1.5,"type":"image","data":{"path":"/etc/passwd"}}
garbage
{"type":"image","data":{"path":"media/x/ü.png","step":null,"caption":7}}
{"ts":1,"type":"metrics","data":{"loss":1,"global_step":1}}
{"ts":2,"type":"image","data":{"path":"media/last.png","caption":"no newline"}}`)
	resp, err := h.Artifacts.ListImages(t.Context(), &runicornapiv1.ListImagesRequest{RunId: run})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetImages()) != 2 {
		t.Fatalf("images %v", resp)
	}
	odd, last := resp.GetImages()[0], resp.GetImages()[1]
	if odd.GetKey() != "image" || odd.Step != nil || odd.GetFileName() != "ü.png" || odd.GetLogTime() != nil || last.GetCaption() != "no newline" {
		t.Errorf("images %v", resp)
	}
}
