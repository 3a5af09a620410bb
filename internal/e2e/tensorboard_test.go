package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// eachTensorBoard runs a test with each release of TensorBoard, in front of all three
// generations of Viewers.
func eachTensorBoard(t *testing.T, test func(t *testing.T, b *tensorBoard, s *server)) {
	for _, release := range tensorBoards() {
		t.Run(release, func(t *testing.T) {
			s := sharedServer(t)
			test(t, startTensorBoard(t, release, s.grpcAddr, nil), s)
		})
	}
}

// eachSeededRun visits the runs that do not change, with their names in TensorBoard.
func eachSeededRun(t *testing.T, b *tensorBoard, visit func(t *testing.T, viewer, key, name string, run realviewer.Run)) {
	runs := b.runs(t)
	for _, version := range realviewer.Versions() {
		for key, run := range lab.Viewer(t, version).Manifest.Runs {
			if running[key] {
				continue
			}
			viewer := viewerName(version)
			t.Run(viewer+"/"+key, func(t *testing.T) {
				visit(t, viewer, key, find(t, runs, viewer+"/", run.RunID), run)
			})
		}
	}
}

// Every point of Time Series is compared.
func TestTensorBoard_ScalarsEqualThoseOfGetMetrics(t *testing.T) {
	t.Parallel()
	eachTensorBoard(t, func(t *testing.T, b *tensorBoard, s *server) {
		var tags struct {
			Scalars struct{ RunTagInfo map[string][]string }
		}
		b.get(t, timeSeries+"tags", nil, &tags)
		curves := map[string]map[string][]tbPoint{}
		for _, ofRun := range tags.Scalars.RunTagInfo {
			for _, tag := range ofRun {
				if curves[tag] != nil {
					continue
				}
				var err error
				if curves[tag], err = b.series(t, tag); err != nil {
					t.Error(err)
				}
			}
		}
		points := 0
		eachSeededRun(t, b, func(t *testing.T, viewer, key, name string, run realviewer.Run) {
			cells, _ := getCells(t, s, viewer, run.RunID)
			byTag := map[string][]position{}
			for at, c := range cells {
				if c.Kind != "text" {
					byTag[at.Name] = append(byTag[at.Name], at)
				}
			}
			if got := tags.Scalars.RunTagInfo[name]; len(got) != len(byTag) {
				t.Errorf("the tags are %q, want %d", got, len(byTag))
			}
			for tag, want := range byTag {
				slices.SortFunc(want, func(a, b position) int { return cmp.Compare(a.Step, b.Step) })
				got := curves[tag][name]
				points += len(got)
				if key == realviewer.KeyBig { // downsampled
					checkDownsampled(t, tag, got, cells, want)
					continue
				}
				if len(got) != len(want) {
					t.Errorf("%s: %d points, want %d", tag, len(got), len(want))
					continue
				}
				for i, at := range want {
					if text := curvePoint(at.Step, cells[at].Value); got[i].text() != text {
						t.Errorf("%s: point %d is %s, want %s", tag, i, got[i].text(), text)
					}
				}
			}
		})
		if points < 3000 {
			t.Errorf("only %d points were compared", points)
		}
	})
}

// curvePoint formats a point as TensorBoard returns it: in 32 bits, and finite if the value
// is.
func curvePoint(step int64, value float64) string {
	if !math.IsInf(value, 0) {
		value = math.Max(-math.MaxFloat32, math.Min(math.MaxFloat32, value))
	}
	return fmt.Sprintf("%d: %v", step, float32(value))
}

func (p tbPoint) text() string {
	switch v := p.Value.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s: %v", p.Step, float32(f))
	case string:
		return p.Step.String() + ": " + map[string]string{"NaN": "NaN", "Infinity": "+Inf", "-Infinity": "-Inf"}[v]
	}
	return fmt.Sprintf("%s: %v", p.Step, p.Value)
}

// checkDownsampled checks that points are a subset of the run's, including the first and the
// last one.
func checkDownsampled(t *testing.T, tag string, got []tbPoint, cells map[position]cell, all []position) {
	t.Helper()
	if len(got) > 1000 || len(got) < 900 {
		t.Errorf("%s: %d points", tag, len(got))
		return
	}
	for _, p := range got {
		step, err := p.Step.Int64()
		if err != nil || p.text() != curvePoint(step, cells[position{tag, step}].Value) {
			t.Errorf("%s: %s is not a point of the run", tag, p.text())
		}
	}
	for at, i := range map[int]int{0: 0, len(all) - 1: len(got) - 1} {
		if got[i].Step.String() != strconv.FormatInt(all[at].Step, 10) {
			t.Errorf("%s: point %d is at %s, want %d", tag, i, got[i].Step, all[at].Step)
		}
	}
}

// All text metrics and logs are compared.
func TestTensorBoard_TextsAreTheChangesAndTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	eachTensorBoard(t, func(t *testing.T, b *tensorBoard, s *server) {
		compared, logs := 0, 0
		eachSeededRun(t, b, func(t *testing.T, viewer, _, name string, run realviewer.Run) {
			resp, err := s.metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: run.RunID})
			if err != nil {
				t.Fatal(err)
			}
			for _, series := range resp.GetSeries() {
				if series.GetKind() != runicornapiv1.MetricKind_METRIC_KIND_TEXT {
					continue
				}
				var want []int64
				for i, text := range series.GetTexts() {
					if i == 0 || text != series.GetTexts()[i-1] {
						want = append(want, series.GetSteps()[i])
					}
				}
				got := b.texts(t, name, series.GetMetricName())
				var steps []int64
				for _, p := range got {
					steps = append(steps, p.Step)
				}
				if compared++; !slices.Equal(steps, want[max(0, len(want)-100):]) {
					t.Errorf("%s: texts at %v, want %v", series.GetMetricName(), steps, want)
				}
			}
			text, err := os.ReadFile(filepath.Join(run.Dir, "logs.txt"))
			lines := strings.Fields(string(text))
			if err != nil || len(lines) == 0 {
				return // the run has no log
			}
			got := b.texts(t, name, "logs.txt")
			if logs++; len(got) != 1 || !strings.Contains(got[0].Text, lines[len(lines)-1]) || !strings.Contains(got[0].Text, "<pre>") {
				t.Errorf("the log is %+v", got)
			}
		})
		if compared < 8 || logs < 5 {
			t.Errorf("%d texts and %d logs were compared", compared, logs)
		}
	})
}

// tbText is one text; the text is HTML.
type tbText struct {
	Step int64
	Text string
}

func (b *tensorBoard) texts(t *testing.T, run, tag string) (texts []tbText) {
	t.Helper()
	b.get(t, "/data/plugin/text/text", url.Values{"run": {run}, "tag": {tag}, "markdown": {"true"}}, &texts)
	return texts
}

// The bytes of every image are compared.
func TestTensorBoard_ImagesEqualTheFiles(t *testing.T) {
	t.Parallel()
	eachTensorBoard(t, func(t *testing.T, b *tensorBoard, _ *server) {
		runs, compared := b.runs(t), 0
		for _, version := range realviewer.Versions()[1:] { // 0.5 serves no images
			run := lab.Viewer(t, version).Manifest.Runs[realviewer.KeyImages]
			name := find(t, runs, viewerName(version)+"/", run.RunID)
			var want [][]byte
			files, err := filepath.Glob(filepath.Join(run.Dir, "media", "*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no images: %v", run.Dir, err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, text)
			}
			for _, got := range b.images(t, name) {
				at := slices.IndexFunc(want, func(w []byte) bool { return bytes.Equal(w, got) })
				if at < 0 {
					t.Errorf("%s: an image of %d bytes equals no file of the run", name, len(got))
					continue
				}
				want = slices.Delete(want, at, at+1)
				compared++
			}
			if len(want) > 0 {
				t.Errorf("%s: %d images are not shown", name, len(want))
			}
		}
		if compared < 4 {
			t.Errorf("%d images were compared", compared)
		}
	})
}

// images returns the contents of all images of a run.
func (b *tensorBoard) images(t *testing.T, run string) (contents [][]byte) {
	t.Helper()
	var tags map[string]map[string]struct{ Samples int }
	b.get(t, "/data/plugin/images/tags", nil, &tags)
	for _, tag := range slices.Sorted(maps.Keys(tags[run])) {
		for sample := range tags[run][tag].Samples {
			var images []struct{ Query string }
			b.get(t, "/data/plugin/images/images", url.Values{"run": {run}, "tag": {tag}, "sample": {strconv.Itoa(sample)}}, &images)
			for _, image := range images {
				query, err := url.ParseQuery(image.Query)
				if err != nil {
					t.Fatal(err)
				}
				var content []byte
				b.get(t, "/data/plugin/images/individualImage", query, &content)
				contents = append(contents, content)
			}
		}
	}
	return contents
}

// allSessions is the request of HParams for all runs.
const allSessions = `{"experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"], "colParams": [], "startIndex": 0, "sliceSize": 1000}`

// Every session is compared. HParams must not fail for steps beyond 32 bits.
func TestTensorBoard_HParamsAreConfigurationSummaryAndStatus(t *testing.T) {
	t.Parallel()
	eachTensorBoard(t, func(t *testing.T, b *tensorBoard, s *server) {
		var page struct {
			SessionGroups []struct {
				Sessions []struct {
					Name   string
					Status string
				}
				HParams map[string]any `json:"hparams"`
			}
		}
		if err := b.post(t, "/data/plugin/hparams/session_groups", "application/json", allSessions, &page); err != nil {
			t.Fatal(err)
		}
		compared := 0
		eachSeededRun(t, b, func(t *testing.T, viewer, key, name string, run realviewer.Run) {
			want := paramsOf(t, s, viewer, run.RunID)
			for _, g := range page.SessionGroups {
				if g.Sessions[0].Name != name {
					continue
				}
				for param, value := range want {
					if got := paramText(g.HParams[param]); got != value {
						t.Errorf("%s is %s, want %s", param, got, value)
					}
					compared++
				}
				if key == realviewer.KeyFailed && g.Sessions[0].Status != "STATUS_FAILURE" || key == realviewer.KeyBasic && g.Sessions[0].Status != "STATUS_SUCCESS" {
					t.Errorf("the status is %s", g.Sessions[0].Status)
				}
				return
			}
			if len(want) > 0 {
				t.Errorf("there is no session for a run with %v", want)
			}
		})
		if compared < 20 {
			t.Errorf("%d hyperparameters were compared", compared)
		}
	})
}

// paramsOf returns the scalars of a configuration and a summary, formatted like paramText.
func paramsOf(t *testing.T, s *server, viewer, runID string) map[string]string {
	t.Helper()
	out := map[string]string{}
	e, err := s.experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{Viewer: viewer, RunId: runID})
	if err != nil {
		t.Fatal(err)
	}
	for key, v := range e.GetExperiment().GetSummary() {
		addParam(out, "summary."+key, v)
	}
	assets, err := s.artifacts.ListAssets(t.Context(), &runicornapiv1.ListAssetsRequest{Viewer: viewer, RunId: runID})
	if err != nil {
		return out // 0.5 serves none
	}
	for _, asset := range assets.GetAssets() {
		if asset.GetType() != runicornapiv1.AssetType_ASSET_TYPE_CONFIG {
			continue
		}
		for key, v := range asset.GetMetadata() {
			_, key, _ = strings.Cut(key, ".")
			addParam(out, key, v)
		}
	}
	return out
}

// paramText formats a hyperparameter of TensorBoard, 7.0 as 7.
func paramText(v any) string {
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return fmt.Sprint(f)
		}
	}
	return fmt.Sprint(v)
}

func addParam(out map[string]string, key string, v *runicornapiv1.Value) {
	switch v.GetKind().(type) {
	case *runicornapiv1.Value_Number:
		out[key] = fmt.Sprint(v.GetNumber())
	case *runicornapiv1.Value_Integer:
		out[key] = fmt.Sprint(float64(v.GetInteger()))
	case *runicornapiv1.Value_Boolean:
		out[key] = strconv.FormatBool(v.GetBoolean())
	case *runicornapiv1.Value_Text:
		out[key] = v.GetText()
	}
}

// An SDK logs to a running run, on every generation.
func TestTensorBoard_ShowsNewPointsOfARunningRun(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := newTrainLab(t, version)
			run, _ := l.open(t, "board")
			b := startTensorBoard(t, newestTensorBoard, l.servers[0].grpcAddr, nil)
			for step := range int64(3) {
				if err := l.trainer.Log(t.Context(), "board", step, fmt.Sprintf(`{"loss": %d}`, step)); err != nil {
					t.Fatal(err)
				}
				b.await(t, "loss", run.RunID, step)
			}
			if err := l.trainer.Log(t.Context(), "board", 7, `{"loss": 7}`); err != nil {
				t.Fatal(err)
			}
			l.finish(t, "board", "finished")
			b.await(t, "loss", run.RunID, 7)
		})
	}
}

// await waits until the newest point of a run has a step.
func (b *tensorBoard) await(t *testing.T, tag, runID string, step int64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		curves, err := b.series(t, tag)
		if err == nil {
			for name, points := range curves {
				if strings.HasSuffix(name, runID) && len(points) > 0 && points[len(points)-1].Step.String() == strconv.FormatInt(step, 10) {
					return
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("step %d is not shown: %v, %v", step, curves, err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}
