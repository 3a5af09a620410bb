package tensorboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// edgeCases is a log with NaN, infinities, values beyond 32 bits, texts, and several kinds in
// one metric.
var edgeCases = []string{
	servicetest.MetricsLine(-3, `"loss": NaN, "on": true`),
	servicetest.MetricsLine(1, `"loss": 1e39, "note": "a"`),
	servicetest.MetricsLine(2, `"loss": -1e39, "note": "a", "mixed": 1`),
	servicetest.MetricsLine(3, `"loss": Infinity, "note": "b", "mixed": true`),
	`{"ts": 1700000000, "type": "metrics", "data": {"loss": 0.5, "global_step": 5000000000}}` + "\n",
}

// Ended runs are known to the search index, and running ones are not.
func TestReadScalars_ReturnsThePointsOfEachKind(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"finished", "running"} {
		for _, tt := range []struct {
			name   string
			points int64
			want   []string
		}{
			{"all", 1000, []string{
				"p loss -3=NaN 1=3.4028235e+38 2=-3.4028235e+38 3=+Inf 5000000000=0.5", "p mixed 2=1 3=1", "p on -3=1",
			}},
			{"the newest, with a step of 32 bits", 1, []string{"p loss 2147483647=0.5", "p mixed 3=1", "p on -3=1"}},
			{"none", 0, []string{"p loss", "p mixed", "p on"}},
			{"two", 2, []string{"p loss -3=NaN 5000000000=0.5", "p mixed 2=1 3=1", "p on -3=1"}},
		} {
			t.Run(state+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, demotest.Gen07)
				h.add("p", state, edgeCases...)
				if got := h.scalars(t.Context(), t, nil, tt.points); !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// An absent filter selects all, an empty one nothing. A run without the tag is omitted.
func TestFilters_SelectRunsAndTags(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen07)
	a := h.add("a", "finished", servicetest.MetricsLine(1, `"x": 1, "y": 2`))
	b := h.add("b", "running", servicetest.MetricsLine(1, `"y": 3`))
	for _, tt := range []struct {
		name       string
		runs, tags []string
		want       string
	}{
		{"all", nil, nil, "a x 1=1, a y 1=2, b y 1=3"},
		{"a run", []string{b}, nil, "b y 1=3"},
		{"a tag that one run has", nil, []string{"x"}, "a x 1=1"},
		{"a run twice, and an unknown one", []string{a, a, "c"}, []string{"y", "z"}, "a y 1=2"},
		{"no run", []string{}, nil, ""},
		{"no tag", nil, []string{}, ""},
		{"only unknown ones", []string{"c"}, nil, ""},
	} {
		got := h.scalars(t.Context(), t, filterOf(tt.runs, tt.tags), 1000)
		if slices.Sort(got); strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: got %q, want %s", tt.name, got, tt.want)
		}
	}
}

// Unsupported plugins are not an error.
func TestInvalidRequestsAreRejected(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen07)
	h.add("a/b", "finished", servicetest.MetricsLine(1, `"x": 1`))
	read := func(plugin string, d *tensorboardpb.Downsample, experiment string) error {
		_, err := h.client.ReadScalars(t.Context(), &tensorboardpb.ReadScalarsRequest{ExperimentId: experiment, PluginFilter: pluginFilter(plugin), Downsample: d})
		return err
	}
	blob := func(key string) error {
		stream, err := h.client.ReadBlob(t.Context(), &tensorboardpb.ReadBlobRequest{BlobKey: key})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	few := &tensorboardpb.Downsample{NumPoints: 10}
	for name, tt := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"no plugin":                         {read("", few, ""), codes.InvalidArgument, "plugin_filter.plugin_name"},
		"no downsample":                     {read("scalars", nil, ""), codes.InvalidArgument, "downsample"},
		"negative points":                   {read("scalars", &tensorboardpb.Downsample{NumPoints: -1}, ""), codes.InvalidArgument, "downsample.num_points"},
		"another plugin":                    {read("histograms", few, ""), codes.OK, ""},
		"an unknown viewer":                 {read("scalars", few, "nosuch"), codes.NotFound, "known are"},
		"an unknown path":                   {read("scalars", few, "v072~a~c"), codes.NotFound, "a/c"},
		"a path with an empty end":          {read("scalars", few, "v072~a~"), codes.NotFound, ""},
		"a path":                            {read("scalars", few, "v072~a"), codes.OK, ""},
		"a malformed key":                   {blob("size"), codes.InvalidArgument, "blob_key"},
		"a key with a path outside the run": {blob(blobKey("v072", "a", "../b")), codes.InvalidArgument, ""},
		"a key with an invalid run":         {blob(blobKey("v072", "../a", "b.png")), codes.InvalidArgument, ""},
		"a key with an unknown viewer":      {blob(blobKey("nosuch", "a", "b.png")), codes.NotFound, ""},
		"a key with an unknown run":         {blob(blobKey("v072", servicetest.UnknownRun, "b.png")), codes.NotFound, ""},
	} {
		if status.Code(tt.err) != tt.code || !strings.Contains(status.Convert(tt.err).Message(), tt.text) {
			t.Errorf("%s: got %v, want %v with %q", name, tt.err, tt.code, tt.text)
		}
	}
}

// The experiment id or the authority selects the scope.
func TestScopes_SelectViewersAndPaths(t *testing.T) {
	t.Parallel()
	for authority, want := range map[string]string{
		"127.0.0.1:23310": "", "localhost:1": "", "localhost": "", "example.org:443": "", "[::1]:1": "",
		"legacy.localhost:23310": "legacy", "legacy.localhost": "legacy", "a~b~c.localhost:1": "a~b~c",
	} {
		if got := scopeOf(authority); got != want {
			t.Errorf("%s: %q, want %q", authority, got, want)
		}
	}
	for _, tt := range []struct {
		path, alias, want string
	}{
		{"a/b", "", "a/b id"}, {"/a", "", "a id"}, {"", "", "id"}, {"a", "best", "a/best id"}, {"a\xff", "", "a\uFFFD id"},
	} {
		run := &restclient.Run{ID: "id"}
		run.Alias.Value = tt.alias
		if got := nameOf(run, tt.path); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.path, got, tt.want)
		}
	}
	h := newHarness(t)
	for i, u := range h.Upstreams {
		for range i + 1 {
			u.AddRun(demotest.Run{Path: "a/b", Status: "finished", Events: []byte(servicetest.MetricsLine(1, `"x": 1`))})
		}
	}
	for scope, want := range map[string]int{"": 6, defaultExperiment: 6, "v053": 1, "V060": 2, "v072": 3, "v072~a~b": 3} {
		runs, scalars, texts := h.lists(t, scope)
		if runs != want || scalars != want || texts != want {
			t.Errorf("%q: %d runs, %d with scalars, %d with texts, want %d", scope, runs, scalars, texts, want)
		}
	}
}

// The unreachable Viewer may be one of several, or the only one of the scope.
func TestAnUnreachableViewerIsOmittedAndNamed(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen06, demotest.Gen07)
	h.add("p", "finished", servicetest.MetricsLine(1, `"x": 1`))
	h.Upstreams[1].Down()
	for scope, want := range map[string]int{"": 1, "v072": 0} {
		if runs, scalars, _ := h.lists(t, scope); runs != want || scalars != want {
			t.Errorf("%q: %d runs, %d with scalars, want %d", scope, runs, scalars, want)
		}
		about, err := h.client.GetExperiment(t.Context(), &tensorboardpb.GetExperimentRequest{ExperimentId: scope})
		if err != nil || !strings.Contains(about.GetDescription(), "viewer v072: ") {
			t.Errorf("%q: %v, %v", scope, about, err)
		}
	}
}

// The first page may request the event file, the summary and the configuration of each run,
// and the second one nothing. The demo does not have the route for all summaries.
func TestEndedRunsAreReadOnceUntilTheirListEntryChanges(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen07)
	for i := range 5 {
		h.add(fmt.Sprint("p", i), "finished", servicetest.MetricsLine(1, `"x": 1, "note": "a"`))
	}
	page := func() (files int) {
		before := h.Upstreams[0].Requests("GET /api/runs/{run_id}/assets/download")
		h.lists(t, "")
		h.scalars(t.Context(), t, filterOf(nil, []string{"x"}), 1000)
		h.scalars(t.Context(), t, nil, 100)
		h.params(t)
		return h.Upstreams[0].Requests("GET /api/runs/{run_id}/assets/download") - before
	}
	if first, assets := page(), h.Upstreams[0].Requests("GET /api/runs/{run_id}/assets"); first != 10 || assets != 5 {
		t.Errorf("the first page reads %d files and the assets of %d runs", first, assets)
	}
	if again := page(); again != 0 {
		t.Errorf("the second page reads %d files", again)
	}
	// A run that grows after the first page, and then ends.
	id := h.add("again", "running", servicetest.MetricsLine(1, `"x": 1`))
	_, id, _ = strings.Cut(id, " ")
	page()
	u := h.Upstreams[0]
	if err := errors.Join(u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"x": 2, "y": 1`))), u.SetStatus(id, "finished")); err != nil {
		t.Fatal(err)
	}
	v, err := h.Config.Fleet.Get(t.Context(), "v072")
	if err != nil {
		t.Fatal(err)
	}
	v.Client.InvalidateRuns()
	got := h.scalars(t.Context(), t, filterOf([]string{"again " + id}, nil), 1000)
	if want := []string{"again x 1=1 2=2", "again y 2=1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if page(); page() != 0 {
		t.Error("the run that has ended is read again")
	}
}

// A run of 0.5 ends while the cache still returns its older table.
func TestTheLastPointsOfATableAreRead(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen05)
	name := h.add("p", "running", servicetest.MetricsLine(1, `"x": 1`))
	_, id, _ := strings.Cut(name, " ")
	v, err := h.Config.Fleet.Get(t.Context(), "v053")
	if err != nil {
		t.Fatal(err)
	}
	read := func() []string { return h.scalars(t.Context(), t, filterOf([]string{name}, nil), 1000) }
	if got := read(); !slices.Equal(got, []string{"p x 1=1"}) {
		t.Fatalf("got %q", got)
	}
	u := h.Upstreams[0]
	if err := errors.Join(u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"x": 2`))), u.SetStatus(id, "finished")); err != nil {
		t.Fatal(err)
	}
	v.Client.InvalidateRuns()
	for !slices.Equal(read(), []string{"p x 1=1 2=2"}) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// params returns the hyperparameters of each run.
func (h *harness) params(t *testing.T) map[string]*tensorboardpb.SessionStart {
	t.Helper()
	resp, err := h.client.ListTensors(t.Context(), &tensorboardpb.ListTensorsRequest{
		PluginFilter: pluginFilter(pluginHParams), RunTagFilter: filterOf(nil, []string{startTag}),
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*tensorboardpb.SessionStart{}
	for _, r := range resp.GetRuns() {
		content := &tensorboardpb.HyperparameterContent{}
		if err := proto.Unmarshal(r.GetTags()[0].GetMetadata().GetSummaryMetadata().GetPluginData().GetContent(), content); err != nil {
			t.Fatal(err)
		}
		out[r.GetRunName()] = content.GetSessionStartInfo()
	}
	return out
}

// Of twenty concurrent callers, one does the work.
func TestEqualConcurrentRequestsAreExecutedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		defer s.Close()
		calls, release := 0, make(chan struct{})
		errThird := errors.New("third execution")
		work := func(context.Context, *tensorboardpb.ListRunsRequest) (*tensorboardpb.ListRunsResponse, error) {
			calls++
			<-release
			if calls == 3 {
				return nil, errThird
			}
			return &tensorboardpb.ListRunsResponse{Runs: []*tensorboardpb.RunEntry{{Name: "a"}}}, nil
		}
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				resp, err := share(t.Context(), s, &tensorboardpb.ListRunsRequest{ExperimentId: "x"}, work)
				if err != nil || len(resp.GetRuns()) != 1 {
					t.Errorf("got %v, %v", resp, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		callers.Wait()
		if calls != 1 {
			t.Errorf("%d executions", calls)
		}
		other := &tensorboardpb.ListRunsRequest{ExperimentId: "y"}
		if _, err := share(t.Context(), s, other, work); err != nil || calls != 2 {
			t.Errorf("another request: %v, %d executions", err, calls)
		}
		if _, err := share(t.Context(), s, other, work); !errors.Is(err, errThird) {
			t.Errorf("third execution: %v", err)
		}
	})
}

// A caller must not get the response for a caller that may see other Viewers.
func TestEqualRequestsAreNotSharedAcrossVisibilities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		defer s.Close()
		release := make(chan struct{})
		work := func(ctx context.Context, _ *tensorboardpb.ListRunsRequest) (*tensorboardpb.ListRunsResponse, error) {
			select {
			case <-release:
				return &tensorboardpb.ListRunsResponse{Runs: []*tensorboardpb.RunEntry{{Name: fleet.VisibleKey(ctx)}}}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		var callers sync.WaitGroup
		for _, ctx := range []context.Context{
			t.Context(), fleet.WithVisible(t.Context(), []string{"a"}), fleet.WithVisible(t.Context(), []string{"a", "b"}), fleet.WithVisible(t.Context(), nil),
		} {
			callers.Go(func() {
				resp, err := share(ctx, s, &tensorboardpb.ListRunsRequest{}, work)
				if err != nil || resp.GetRuns()[0].GetName() != fleet.VisibleKey(ctx) {
					t.Errorf("%s: got %v, %v", fleet.VisibleKey(ctx), resp, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		callers.Wait()
	})
}

func TestFloat32_KeepsFiniteValuesFinite(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]float32{1e39: math.MaxFloat32, -1e39: -math.MaxFloat32, 0.5: 0.5, math.Inf(1): float32(math.Inf(1)), math.Inf(-1): float32(math.Inf(-1))} {
		if got := float32Of(in); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
	if got := float32Of(math.NaN()); !math.IsNaN(float64(got)) {
		t.Errorf("NaN: %v", got)
	}
}

// Otherwise a log could end the fence.
func TestFence_IsLongerThanAnyFenceInTheLog(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a": "```", "```": "````", "a ````` b\n```": "``````"} {
		if got := fenced(strings.Split(text, "\n")); got != want+"\n"+text+"\n"+want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A sequence has two placeholders, and then the images of one key and step.
func TestImages_FormOneSequencePerStep(t *testing.T) {
	t.Parallel()
	image := func(step, path string) string {
		return fmt.Sprintf(`{"ts": 1700000000, "type": "image", "data": {"key": "k", "path": %q, "step": %s}}`+"\n", path, step)
	}
	for _, state := range []string{"finished", "running"} {
		h := newHarness(t, demotest.Gen07)
		h.add("p", state, image("1", "media/a.png"), image("1", "media/b.png"), image("3", "media/c.png"), image("3", "../d.png"))
		list, err := h.client.ListBlobSequences(t.Context(), &tensorboardpb.ListBlobSequencesRequest{PluginFilter: pluginFilter(pluginImages)})
		if err != nil || len(list.GetRuns()) != 1 {
			t.Fatalf("%s: %v, %v", state, list, err)
		}
		if m := list.GetRuns()[0].GetTags()[0].GetMetadata(); m.GetMaxLength() != 4 || m.GetMaxStep() != 3 {
			t.Errorf("%s: %v", state, m)
		}
		for n, want := range map[int64]string{10: "1:4 3:3", 1: "3:3", 0: ""} {
			read, err := h.client.ReadBlobSequences(t.Context(), &tensorboardpb.ReadBlobSequencesRequest{
				PluginFilter: pluginFilter(pluginImages), Downsample: &tensorboardpb.Downsample{NumPoints: n},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			data := read.GetRuns()[0].GetTags()[0].GetData()
			for i, step := range data.GetStep() {
				got = append(got, fmt.Sprintf("%d:%d", step, len(data.GetValues()[i].GetBlobRefs())))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s, %d points: got %q, want %q", state, n, got, want)
			}
		}
	}
}

// The file is larger than one message.
func TestReadBlob_StreamsTheWholeFile(t *testing.T) {
	t.Parallel()
	h := newHarness(t, demotest.Gen06)
	name := h.add("p", "finished")
	_, id, _ := strings.Cut(name, " ")
	file := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	h.Upstreams[0].ServeDownload("media/a.png", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.png", time.Time{}, bytes.NewReader(file))
	})
	stream, err := h.client.ReadBlob(t.Context(), &tensorboardpb.ReadBlobRequest{BlobKey: blobKey("v060", id, "media/a.png")})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece.GetData()...)
	}
	if !bytes.Equal(got, file) {
		t.Errorf("%d bytes, want %d", len(got), len(file))
	}
}
