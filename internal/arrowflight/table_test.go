package arrowflight

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// recorder is a stream that stores the sent messages.
type recorder struct {
	grpc.ServerStream
	sent []*flight.FlightData
}

func (r *recorder) Send(d *flight.FlightData) error {
	r.sent = append(r.sent, proto.CloneOf(d))
	return nil
}

// replay is a stream that returns stored messages.
type replay struct{ sent []*flight.FlightData }

func (r *replay) Recv() (*flight.FlightData, error) {
	if len(r.sent) == 0 {
		return nil, io.EOF
	}
	first := r.sent[0]
	r.sent = r.sent[1:]
	return first, nil
}

// The names and texts of the points exceed the limit of one message.
func TestTail_SplitsLargeBatches(t *testing.T) {
	long := strings.Repeat("m", 10_000)
	const points = 1000
	series := &runicornapiv1.MetricSeries{MetricName: long, Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER}
	for i := range points {
		series.Steps, series.Values, series.Times = append(series.Steps, int64(i)), append(series.Values, float64(i)), append(series.Times, 0)
	}
	series.Exact = []*runicornapiv1.ExactInteger{{Index: 1, Decimal: "9007199254740993"}}
	to := &recorder{}
	out := newTableWriter(to, tailSchema)
	message := &runicornapiv1.TailMetricsResponse{
		ResumeToken: "token", Viewer: "lab", RunId: "run",
		Event: &runicornapiv1.TailMetricsResponse_Batch{Batch: &runicornapiv1.MetricBatch{Series: []*runicornapiv1.MetricSeries{series}}},
	}
	if err := sendTailMessage(out, message); err != nil {
		t.Fatal(err)
	}
	for i, d := range to.sent {
		if len(d.GetDataBody()) > maxBatchBytes*5/4 {
			t.Errorf("message %d has %d bytes", i, len(d.GetDataBody()))
		}
		if hasToken, last := len(d.GetAppMetadata()) > 0, i == len(to.sent)-1; hasToken != last {
			t.Errorf("message %d of %d has a token: %v", i, len(to.sent), hasToken)
		}
	}
	reader, err := flight.NewRecordReader(&replay{sent: to.sent})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	rows := int64(0)
	for reader.Next() {
		batch := reader.RecordBatch()
		if rows == 0 && (batch.Column(8).IsValid(0) || batch.Column(8).ValueStr(1) != "9007199254740993" || batch.Column(5).IsValid(0)) {
			t.Errorf("exact %v, time %v", batch.Column(8), batch.Column(5))
		}
		rows += batch.NumRows()
	}
	if rows != points || len(to.sent) < 5 {
		t.Errorf("%d rows in %d messages", rows, len(to.sent))
	}
}

// FuzzTicket requires that a ticket either survives encoding and parsing, or is rejected with
// a short message.
func FuzzTicket(f *testing.F) {
	f.Add([]byte(`{"export":{"run_id":"a","layout":"EXPORT_LAYOUT_LONG"}}`))
	f.Add([]byte(`{"tail":{"filter":"run_id:*","heartbeat_interval":"1s"}}`))
	f.Add([]byte(`{"tail":{"` + strings.Repeat("x", 1000) + `":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := parseTicket("ticket", text)
		if err != nil {
			if n := len(status.Convert(err).Message()); n > 4096 {
				t.Errorf("a message of %d bytes", n)
			}
			return
		}
		written, err := first.bytes()
		if err != nil {
			t.Skip(err) // text that is not UTF-8
		}
		if !json.Valid(written) {
			t.Fatalf("wrote %q", written)
		}
		again, err := parseTicket("ticket", written)
		if err != nil || !proto.Equal(first.export, again.export) && first.export != nil || !proto.Equal(first.tail, again.tail) && first.tail != nil {
			t.Errorf("%q became %q: %v", text, written, err)
		}
	})
}
