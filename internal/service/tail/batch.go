package tail

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// batchSelection is what a stream wants of batches.
type batchSelection struct {
	eventlog.Selection
	hasPositions bool
	// key is the same for streams that want the same.
	key string
}

func newBatchSelection(req *runicornapiv1.TailMetricsRequest) batchSelection {
	s := batchSelection{Selection: convert.Selection(req), hasPositions: req.GetPositions()}
	s.MinStep, s.MaxStep = req.MinStep, req.MaxStep
	// As a request of these fields only, which is marshalled in one way.
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&runicornapiv1.TailMetricsRequest{
		MetricNames: req.GetMetricNames(), MetricPrefixes: req.GetMetricPrefixes(),
		MinStep: req.MinStep, MaxStep: req.MaxStep, Positions: req.GetPositions(),
	})
	if err == nil { // what came over the wire always marshals
		s.key = string(key)
	}
	return s
}

// of selects from a batch. The columns are shared with it and may be read only.
func (s *batchSelection) of(b *logbatch.Batch) []eventlog.Series {
	series := b.Select(s.Selection)
	if !s.hasPositions {
		for i := range series {
			series[i].Positions = nil
		}
	}
	return series
}

// newestTime is the newest time of a batch, 0 if it has none.
func newestTime(m *runicornapiv1.MetricBatch) (newest float64) {
	for _, s := range m.GetSeries() {
		for _, at := range s.GetTimes() {
			newest = max(newest, at)
		}
	}
	return newest
}

// maxText is the size from which a text value is cut, and a series of such a name is left
// out: no message has room for them.
const maxText = 1 << 20

// maxBatch is how large a batch may be, so that a message has room for it.
const maxBatch = answer.MaxMessage - 2*maxTailToken

// splitLarge makes messages that fit of one that may have many long names.
func splitLarge(m *runicornapiv1.MetricBatch) (parts []*runicornapiv1.MetricBatch) {
	cutLarge(m)
	for series := m.GetSeries(); len(series) > 0; {
		n := answer.CountFitting(series, maxBatch)
		parts = append(parts, &runicornapiv1.MetricBatch{Series: series[:n], Fidelity: m.GetFidelity()})
		series = series[n:]
	}
	return parts
}

// cutLarge makes a message fit that has a text or a name that is too large, and says so in
// the text. One run must not end the stream of others.
func cutLarge(m *runicornapiv1.MetricBatch) {
	if proto.Size(m) <= maxBatch {
		return
	}
	m.Series = slices.DeleteFunc(slices.Clone(m.GetSeries()), func(s *runicornapiv1.MetricSeries) bool {
		return len(s.GetMetricName()) > maxText
	})
	for _, s := range m.GetSeries() {
		s.Texts = slices.Clone(s.GetTexts()) // that of the batch is shared
		for i, text := range s.GetTexts() {
			if len(text) > maxText {
				s.Texts[i] = fmt.Sprintf("%s… (cut, of %d bytes)", strings.ToValidUTF8(text[:maxText], ""), len(text))
			}
		}
	}
}
