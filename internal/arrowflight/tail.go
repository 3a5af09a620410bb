package arrowflight

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// tailSchema is the long layout of an export of several runs. A wide table could not get a
// new column when a run logs a new metric.
var tailSchema = arrow.NewSchema([]arrow.Field{
	{Name: "viewer", Type: arrow.BinaryTypes.String},
	{Name: "run_id", Type: arrow.BinaryTypes.String},
	{Name: "step", Type: arrow.PrimitiveTypes.Int64},
	{Name: "metric", Type: arrow.BinaryTypes.String},
	{Name: "value", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "time", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, // Unix seconds
	{Name: "boolean", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "exact", Type: arrow.BinaryTypes.String, Nullable: true}, // digits of an integer beyond 2^53
}, nil)

// sendTail sends live points until all runs have ended. The app_metadata of each batch is the
// message of TailMetrics without its points, including the resume token. A batch without rows
// is an event.
func (s *Server) sendTail(ctx context.Context, req *runicornapiv1.TailMetricsRequest, stream flight.FlightService_DoGetServer) error {
	tail, err := s.metrics.TailMetrics(ctx, req)
	if err != nil {
		return err
	}
	out := newTableWriter(stream, tailSchema)
	for {
		message, err := tail.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return out.Close()
		case err != nil:
			return err
		}
		if err := sendTailMessage(out, message); err != nil {
			return err
		}
	}
}

func sendTailMessage(out *tableWriter, message *runicornapiv1.TailMetricsResponse) error {
	points := message.GetBatch()
	if points == nil {
		return out.writeEvent(message)
	}
	about, err := toJSON.Marshal(&runicornapiv1.TailMetricsResponse{
		ResumeToken: message.GetResumeToken(), Viewer: message.GetViewer(), RunId: message.GetRunId(),
	})
	if err != nil {
		return fmt.Errorf("encode the metadata of a batch: %w", err)
	}
	rows := array.NewRecordBuilder(memory.DefaultAllocator, tailSchema)
	defer rows.Release()
	for _, series := range points.GetSeries() {
		addSeries(rows, message.GetViewer(), message.GetRunId(), series)
	}
	batch := rows.NewRecordBatch()
	defer batch.Release()
	return out.write(batch, about)
}

// column is the builder of a column, by its index in tailSchema.
func column[B array.Builder](r *array.RecordBuilder, i int) B {
	b, _ := r.Field(i).(B) // the schema is a constant
	return b
}

// addSeries adds the points of a series.
func addSeries(r *array.RecordBuilder, viewer, run string, s *runicornapiv1.MetricSeries) {
	viewers, runs, metrics := column[*array.StringBuilder](r, 0), column[*array.StringBuilder](r, 1), column[*array.StringBuilder](r, 3)
	steps, values, times := column[*array.Int64Builder](r, 2), column[*array.Float64Builder](r, 4), column[*array.Float64Builder](r, 5)
	booleans, texts, exact := column[*array.BooleanBuilder](r, 6), column[*array.StringBuilder](r, 7), column[*array.StringBuilder](r, 8)
	digits := make(map[int]string, len(s.GetExact()))
	for _, e := range s.GetExact() {
		digits[int(e.GetIndex())] = e.GetDecimal()
	}
	for i, step := range s.GetSteps() {
		viewers.Append(viewer)
		runs.Append(run)
		steps.Append(step)
		metrics.Append(s.GetMetricName())
		appendAt(times.Append, times.AppendNull, s.GetTimes(), i, i < len(s.GetTimes()) && s.GetTimes()[i] != 0) // 0 means that the time is unknown
		appendAt(values.Append, values.AppendNull, s.GetValues(), i, s.GetKind() == runicornapiv1.MetricKind_METRIC_KIND_NUMBER)
		appendAt(func(v float64) { booleans.Append(v != 0) }, booleans.AppendNull, s.GetValues(), i, s.GetKind() == runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN)
		appendAt(texts.Append, texts.AppendNull, s.GetTexts(), i, s.GetKind() == runicornapiv1.MetricKind_METRIC_KIND_TEXT)
		if text, ok := digits[i]; ok {
			exact.Append(text)
		} else {
			exact.AppendNull()
		}
	}
}

// appendAt appends a value of a series, or null if the series has none at that index.
func appendAt[T any](add func(T), addNull func(), values []T, i int, wanted bool) {
	if wanted && i < len(values) {
		add(values[i])
	} else {
		addNull()
	}
}
