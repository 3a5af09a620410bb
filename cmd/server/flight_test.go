package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func command(ticket string) *flight.FlightDescriptor {
	return &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(ticket)}
}

// TestFlight_ReportsWhatIsWrongWithATicket shows every mistake with the text that
// clients in Python and C++ see of it.
func TestFlight_ReportsWhatIsWrongWithATicket(t *testing.T) {
	p := start(t, "--demo")
	client := flight.NewClientFromConn(p.dial(t), nil)
	for _, tt := range []struct {
		name, ticket string
		code         codes.Code
		want         string
	}{
		{"no JSON", "x", codes.InvalidArgument, "ticket is not a JSON object"},
		{"two members", `{"export": {}, "tail": {}}`, codes.InvalidArgument, "one member"},
		{"another member", `{"exports": {}}`, codes.InvalidArgument, `unknown member "exports"`},
		{"an unknown field", `{"tail": {"bogus": 1}}`, codes.InvalidArgument, `ticket.tail is not a valid TailMetricsRequest: (line 1:2): unknown field "bogus"`},
		{"another format", `{"export": {"run_id": "a", "format": "EXPORT_FORMAT_CSV"}}`, codes.InvalidArgument, "ticket.export.format must be left out"},
		{"an offset", `{"export": {"run_id": "a", "if_match": "*"}}`, codes.InvalidArgument, "must be left out"},
		{"what the API refuses", `{"export": {}}`, codes.InvalidArgument, "set run_id or run_ids, or filter [INVALID_REQUEST]"},
		{"no such run", `{"export": {"run_id": "nosuchrun"}}`, codes.NotFound, "[RUN_NOT_FOUND]"},
		{"no such viewer", `{"tail": {"viewer": "nosuch", "run_ids": ["a"]}}`, codes.NotFound, "[VIEWER_NOT_FOUND]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream, err := client.DoGet(t.Context(), &flight.Ticket{Ticket: []byte(tt.ticket)})
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != tt.code || !strings.Contains(status.Convert(err).Message(), tt.want) {
				t.Errorf("got %v, want %v: %s", err, tt.code, tt.want)
			}
		})
	}
	if _, err := client.GetFlightInfo(t.Context(), command(`{"tail": {"run_ids": ["a"]}}`)); err != nil {
		t.Errorf("a tail that is only described: %v", err)
	}
	if _, err := client.GetSchema(t.Context(), &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{"a", "b", "c"}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a path of three parts: %v", err)
	}
}

// TestFlight_RefusesWhatItDoesNotServe calls the rest of the protocol.
func TestFlight_RefusesWhatItDoesNotServe(t *testing.T) {
	p := start(t, "--demo")
	client := flight.NewFlightServiceClient(p.dial(t))
	for name, call := range map[string]func() error{
		"Handshake":      streamed(func() (grpc.ClientStream, error) { return client.Handshake(t.Context()) }),
		"DoPut":          streamed(func() (grpc.ClientStream, error) { return client.DoPut(t.Context()) }),
		"DoExchange":     streamed(func() (grpc.ClientStream, error) { return client.DoExchange(t.Context()) }),
		"DoAction":       streamed(func() (grpc.ClientStream, error) { return client.DoAction(t.Context(), &flight.Action{Type: "x"}) }),
		"ListActions":    streamed(func() (grpc.ClientStream, error) { return client.ListActions(t.Context(), &flight.Empty{}) }),
		"PollFlightInfo": func() error { _, err := client.PollFlightInfo(t.Context(), command(`{}`)); return err },
	} {
		if err := call(); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "does not serve "+name) || !strings.Contains(err.Error(), "[METHOD_NOT_SERVED]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// streamed is the error of a stream that is opened and read.
func streamed(open func() (grpc.ClientStream, error)) func() error {
	return func() error {
		stream, err := open()
		if err != nil {
			return err
		}
		return stream.RecvMsg(new(flight.FlightData))
	}
}

// TestFlight_SendsTheTableOfTheExport compares batches with those of the Arrow
// export, and the schema of a tail with that of the long layout of several runs.
func TestFlight_SendsTheTableOfTheExport(t *testing.T) {
	p := start(t, "--demo", "--log-level=debug")
	conn := p.dial(t)
	client := flight.NewClientFromConn(conn, nil)
	list, err := client.ListFlights(t.Context(), &flight.Criteria{Expression: []byte(`{"filter": "status = FINISHED", "viewer": "demo"}`)})
	if err != nil {
		t.Fatal(err)
	}
	var infos []*flight.FlightInfo
	for info, err := list.Recv(); !errors.Is(err, io.EOF); info, err = list.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	if len(infos) < 2 {
		t.Fatalf("%d experiments", len(infos))
	}
	export, total := &runicornapiv1.ExportExperimentRequest{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW}, int64(0)
	for _, info := range infos {
		export.RunId = info.GetFlightDescriptor().GetPath()[1]
		total += sameTable(t, client, info, arrowExport(t, conn, export))
	}
	if total == 0 {
		t.Error("all tables are empty")
	}

	export.RunIds = []string{infos[0].GetFlightDescriptor().GetPath()[1]}
	export.Layout = runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG
	long := arrowExport(t, conn, export)
	defer long.Release()
	tail, err := client.GetSchema(t.Context(), command(`{"tail": {"run_ids": ["any"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := flight.DeserializeSchema(tail.GetSchema(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !schema.Equal(long.Schema()) {
		t.Errorf("a tail has the schema %v, the long layout %v", schema, long.Schema())
	}
	if lines := strings.Count(p.stderr.String(), "grpc.method=DoGet"); lines != 0 {
		t.Errorf("%d lines about DoGet beside those about ExportExperiment", lines)
	}
	if !strings.Contains(p.stderr.String(), "grpc.method=ExportExperiment") {
		t.Error("no line about ExportExperiment")
	}
}

// sameTable compares what Flight sends of an experiment with its export, and
// returns the number of rows.
func sameTable(t *testing.T, client flight.Client, info *flight.FlightInfo, want *ipc.Reader) int64 {
	t.Helper()
	defer want.Release()
	stream, err := client.DoGet(t.Context(), info.GetEndpoint()[0].GetTicket())
	if err != nil {
		t.Fatal(err)
	}
	got, err := flight.NewRecordReader(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if !got.Schema().Equal(want.Schema()) {
		t.Errorf("got the schema %v, want %v", got.Schema(), want.Schema())
	}
	rows := rowsOf(t, got)
	if n := rowsOf(t, want); rows != n {
		t.Errorf("got %d rows, want %d", rows, n)
	}
	return rows
}

// arrowExport reads an Arrow export over the API.
func arrowExport(t *testing.T, conn *grpc.ClientConn, req *runicornapiv1.ExportExperimentRequest) *ipc.Reader {
	t.Helper()
	stream, err := runicornapiv1.NewExperimentServiceClient(conn).ExportExperiment(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	for part, err := stream.Recv(); !errors.Is(err, io.EOF); part, err = stream.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		file.Write(part.GetChunk())
	}
	reader, err := ipc.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

// rowsOf counts the rows of a table.
func rowsOf(t *testing.T, table interface {
	Next() bool
	Err() error
	RecordBatch() arrow.RecordBatch
},
) (n int64) {
	t.Helper()
	for table.Next() {
		n += table.RecordBatch().NumRows()
	}
	if err := table.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFlight_CanBeDisabled(t *testing.T) {
	p := start(t, "--demo", "--disable-flight")
	list, err := flight.NewClientFromConn(p.dial(t), nil).ListFlights(t.Context(), &flight.Criteria{})
	if err == nil {
		_, err = list.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

// TestFlight_AnAbandonedTailEnds leaves a tail open; goleak checks that no goroutine
// remains.
func TestFlight_AnAbandonedTailEnds(t *testing.T) {
	p := start(t, "--demo")
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := flight.NewClientFromConn(p.dial(t), nil).DoGet(ctx, &flight.Ticket{Ticket: []byte(`{"tail": {"filter": "run_id:*"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
}
