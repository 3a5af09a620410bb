package tail

import (
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// batchSelection is what a stream selects from batches.
type batchSelection struct {
	eventlog.Selection
	hasPositions bool
	// key is equal for streams with the same selection.
	key string
}

func newBatchSelection(req *runicornapiv1.TailMetricsRequest) batchSelection {
	s := batchSelection{Selection: convert.Selection(req), hasPositions: req.GetPositions()}
	s.MinStep, s.MaxStep = req.MinStep, req.MaxStep
	// Only the fields of the selection; the encoding is deterministic.
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&runicornapiv1.TailMetricsRequest{
		MetricNames: req.GetMetricNames(), MetricPrefixes: req.GetMetricPrefixes(),
		MinStep: req.MinStep, MaxStep: req.MaxStep, Positions: req.GetPositions(),
	})
	if err == nil { // a request that was received can always be encoded
		s.key = string(key)
	}
	return s
}

// of selects from a batch. The columns are shared with the batch and must not be changed.
func (s *batchSelection) of(b *logbatch.Batch) []eventlog.Series {
	series := b.Select(s.Selection)
	if !s.hasPositions {
		for i := range series {
			series[i].Positions = nil
		}
	}
	return series
}

// newestTime returns the latest time of a batch, 0 if it has none.
func newestTime(m *runicornapiv1.MetricBatch) (newest float64) {
	for _, s := range m.GetSeries() {
		for _, at := range s.GetTimes() {
			newest = max(newest, at)
		}
	}
	return newest
}
