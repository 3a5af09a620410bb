package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// tailer is a client that stores points and token together.
type tailer struct {
	runID  string
	random *rand.Rand
	drops  bool
	// isExact is set if all points are stored, in order, to be compared with the event
	// file; otherwise the last value of each cell is.
	isExact bool
	err     error

	token   string
	resumes int
	points  pointTexts
	cells   map[position]cell
	end     string
}

// pointTexts are points by metric and kind, in the order of delivery. Clients share equal
// texts.
type pointTexts map[string][]unique.Handle[string]

func (p pointTexts) add(key, text string) { p[key] = append(p[key], unique.Make(text)) }

// texts are for people.
func (p pointTexts) texts() map[string][]string {
	all := map[string][]string{}
	for key, handles := range p {
		for _, h := range handles {
			all[key] = append(all[key], h.Value())
		}
	}
	return all
}

// follow tails to the end, on any of the servers.
func (c *tailer) follow(ctx context.Context, servers []*server) error {
	c.points, c.cells = pointTexts{}, map[position]cell{}
	for {
		again, err := c.connect(ctx, servers[c.random.IntN(len(servers))])
		if err != nil || !again {
			return err
		}
		c.resumes++
	}
}

// connect tails on one server until the end, or until it drops.
func (c *tailer) connect(ctx context.Context, s *server) (again bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req := &runicornapiv1.TailMetricsRequest{RunIds: []string{c.runID}, Positions: true, ResumeToken: c.token}
	stream, err := s.metrics.TailMetrics(ctx, req)
	if err != nil {
		return false, err
	}
	leaveAt := time.Now().Add(time.Duration(2 * c.random.Float64() * float64(*tailDrop)))
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if c.end == "" {
				return false, errors.New("the stream ended OK without an end")
			}
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := c.record(m); err != nil {
			return false, err
		}
		if c.drops && c.end == "" && time.Now().After(leaveAt) {
			return true, nil
		}
	}
}

// record stores the content of a message with its token.
func (c *tailer) record(m *runicornapiv1.TailMetricsResponse) error {
	c.token = m.GetResumeToken()
	switch e := m.GetEvent().(type) {
	case *runicornapiv1.TailMetricsResponse_End:
		c.end = e.End.GetReason().String()
	case *runicornapiv1.TailMetricsResponse_LogReset:
		return fmt.Errorf("reset for %v", e.LogReset.GetReason())
	}
	for _, s := range m.GetBatch().GetSeries() {
		key := s.GetMetricName() + " " + s.GetKind().String()
		for i, step := range s.GetSteps() {
			text, value := "", math.NaN()
			if s.GetKind() == runicornapiv1.MetricKind_METRIC_KIND_TEXT {
				text = s.GetTexts()[i]
			} else {
				value = s.GetValues()[i]
			}
			if c.isExact {
				c.points.add(key, pointText(s.GetPositions()[i], step, s.GetTimes()[i], text, value))
			} else {
				c.cells[position{s.GetMetricName(), step}] = tailedCell(s.GetKind(), text, value)
			}
		}
	}
	return nil
}

func tailedCell(kind runicornapiv1.MetricKind, text string, value float64) cell {
	switch kind {
	case runicornapiv1.MetricKind_METRIC_KIND_TEXT:
		return cell{Kind: "text", Text: text}
	case runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
		return cell{Kind: "boolean", Value: value}
	}
	return cell{Kind: "number", Value: value}
}

func pointText(position, step int64, at float64, text string, value float64) string {
	return fmt.Sprintf("at %d: step %d, time %v, %q %v", position, step, at, text, value)
}

// wantLog compares with the event file, series by series: nothing missing, nothing
// twice, nothing invented.
func (c *tailer) wantLog(t *testing.T, path string) {
	t.Helper()
	log, err := realviewer.ReadLog(path)
	if err != nil {
		t.Fatal(err)
	}
	want := pointTexts{}
	for _, name := range log.Names() {
		for kind, ours := range map[realviewer.ValueKind]runicornapiv1.MetricKind{
			realviewer.KindNumber:  runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
			realviewer.KindBoolean: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN,
			realviewer.KindText:    runicornapiv1.MetricKind_METRIC_KIND_TEXT,
		} {
			for _, p := range log.Points(name, kind) {
				text, value := "", p.Value.Number
				if kind == realviewer.KindText {
					text, value = p.Value.Text, math.NaN()
				}
				key := name + " " + ours.String()
				want.add(key, pointText(p.Offset, p.Step, p.Time, text, value))
			}
		}
	}
	if maps.EqualFunc(want, c.points, slices.Equal) {
		return
	}
	if diff := cmp.Diff(want.texts(), c.points.texts()); diff != "" {
		t.Errorf("the event file and the tail (-file +tail):\n%.3000s", diff)
	}
}

// wantTable compares the last value of each cell with the Viewer's final table.
func (c *tailer) wantTable(t *testing.T, url string) {
	t.Helper()
	if diff := cmp.Diff(tableOf(t, url, c.runID), c.cells); diff != "" {
		t.Errorf("the final table and the tail (-table +tail):\n%.3000s", diff)
	}
}
