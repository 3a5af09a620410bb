package tail

import (
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
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
