// Package arrowflight serves experiments over Arrow Flight, for clients without stubs of the
// contract: lists, exports and live tails as tables.
//
// A ticket is a JSON object with one member, which can be written by hand:
//
//	{"export": <ExportExperimentRequest>}  a finite table; the format is EXPORT_FORMAT_ARROW
//	{"tail":   <TailMetricsRequest>}       live points in the long layout, until all runs have ended
//
// Each call is forwarded to the API of this server over a connection in memory, with the
// caller's token, so the same rules, roles and limits apply.
package arrowflight

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Server is the Flight service. It is safe for concurrent use.
type Server struct {
	flight.BaseFlightServer

	experiments runicornapiv1.ExperimentServiceClient
	metrics     runicornapiv1.MetricServiceClient
}

// ServiceName is the name of the Flight service in gRPC.
const ServiceName = "arrow.flight.protocol.FlightService"

// New returns a server that calls conn, a connection to this gRPC server, including its
// interceptors.
func New(conn grpc.ClientConnInterface) *Server {
	return &Server{
		experiments: runicornapiv1.NewExperimentServiceClient(conn),
		metrics:     runicornapiv1.NewMetricServiceClient(conn),
	}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r *grpc.Server) { flight.RegisterFlightServiceServer(r, s) }

// toJSON uses the field names of the contract.
var toJSON = protojson.MarshalOptions{UseProtoNames: true}

// ListFlights lists experiments, the newest first. The criteria are a ListExperimentsRequest
// as JSON, or empty for all. The app_metadata of each flight is the experiment as JSON. The
// schema is empty, because it would require a read of every run.
func (s *Server) ListFlights(criteria *flight.Criteria, stream flight.FlightService_ListFlightsServer) error {
	ctx := stream.Context()
	req := &runicornapiv1.ListExperimentsRequest{}
	if text := criteria.GetExpression(); len(text) > 0 {
		if err := fromJSON("criteria", text, req); err != nil {
			return err
		}
	}
	if req.GetPageSize() == 0 {
		req.PageSize = listPageSize
	}
	for {
		page, err := s.experiments.ListExperiments(ctx, req)
		if err != nil {
			return err
		}
		for _, e := range page.GetExperiments() {
			info, err := infoOf(e)
			if err != nil {
				return err
			}
			if err := stream.Send(info); err != nil {
				return err
			}
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return unreachable(page.GetUnreachable())
		}
	}
}

// listPageSize is the page size if the criteria have none.
const listPageSize = 500

// unreachable is the status at the end of a list. A Flight client cannot see which Viewers
// are missing from a list, so an incomplete list does not end with OK.
func unreachable(viewers []*runicornapiv1.UnreachableViewer) error {
	if len(viewers) == 0 {
		return nil
	}
	return apierr.Unreachable(viewers[0].GetViewer(), fmt.Sprintf("the list lacks the experiments of %d viewers; the first is %s: %s",
		len(viewers), viewers[0].GetViewer(), viewers[0].GetError().GetMessage()), nil)
}

// infoOf describes an experiment of a list.
func infoOf(e *runicornapiv1.Experiment) (*flight.FlightInfo, error) {
	about, err := toJSON.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("describe the experiment %s: %w", e.GetResourceName(), err)
	}
	t := &ticket{export: &runicornapiv1.ExportExperimentRequest{Viewer: e.GetViewer(), RunId: e.GetRunId()}}
	info, err := t.info(&flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{e.GetViewer(), e.GetRunId()}})
	if err != nil {
		return nil, err
	}
	info.AppMetadata = about
	return info, nil
}

// GetFlightInfo describes the table of a descriptor: a path is [viewer, run_id] or [run_id],
// a command is a ticket. The schema of a wide table requires a read of its runs.
func (s *Server) GetFlightInfo(ctx context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	t, schema, err := s.describe(ctx, d)
	if err != nil {
		return nil, err
	}
	info, err := t.info(d)
	if err != nil {
		return nil, err
	}
	info.Schema = schema
	return info, nil
}

// GetSchema returns the schema of the table of a descriptor.
func (s *Server) GetSchema(ctx context.Context, d *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	_, schema, err := s.describe(ctx, d)
	if err != nil {
		return nil, err
	}
	return &flight.SchemaResult{Schema: schema}, nil
}

// describe parses a descriptor and reads the schema of its table.
func (s *Server) describe(ctx context.Context, d *flight.FlightDescriptor) (*ticket, []byte, error) {
	t, err := ticketOf(d)
	if err != nil {
		return nil, nil, err
	}
	schema, err := s.schema(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	return t, flight.SerializeSchema(schema, memory.DefaultAllocator), nil
}

// schema reads an export up to its schema. The schema of a tail is constant.
func (s *Server) schema(ctx context.Context, t *ticket) (*arrow.Schema, error) {
	if t.tail != nil {
		return tailSchema, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	table, err := s.openExport(ctx, t.export)
	if err != nil {
		return nil, err
	}
	defer table.Release()
	return table.Schema(), nil
}

// DoGet sends the table of a ticket.
func (s *Server) DoGet(tk *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	t, err := parseTicket("ticket", tk.GetTicket())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if t.tail != nil {
		return s.sendTail(ctx, t.tail, stream)
	}
	return s.sendExport(ctx, t.export, stream)
}

// notServed is the error of methods of Flight that this server does not implement.
func notServed(method, instead string) error {
	return &apierr.Error{
		Code: codes.Unimplemented, Reason: runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED,
		Message:  "this server does not serve " + method + " of Arrow Flight; instead, " + instead,
		Metadata: map[string]string{"instead": instead},
	}
}

const (
	insteadOfWrites = "read with ListFlights, GetFlightInfo and DoGet: tables are read only"
	insteadOfLogin  = "send the metadata authorization: Bearer TOKEN with every call"
	insteadOfAction = "use the gRPC API of the same port for everything except tables"
)

// Handshake is not served: tokens need no session.
func (s *Server) Handshake(flight.FlightService_HandshakeServer) error {
	return notServed("Handshake", insteadOfLogin)
}

// DoPut is not served.
func (s *Server) DoPut(flight.FlightService_DoPutServer) error {
	return notServed("DoPut", insteadOfWrites)
}

// DoExchange is not served.
func (s *Server) DoExchange(flight.FlightService_DoExchangeServer) error {
	return notServed("DoExchange", insteadOfWrites)
}

// DoAction is not served.
func (s *Server) DoAction(*flight.Action, flight.FlightService_DoActionServer) error {
	return notServed("DoAction", insteadOfAction)
}

// ListActions is not served.
func (s *Server) ListActions(*flight.Empty, flight.FlightService_ListActionsServer) error {
	return notServed("ListActions", insteadOfAction)
}

// PollFlightInfo is not served: GetFlightInfo responds without a wait.
func (s *Server) PollFlightInfo(context.Context, *flight.FlightDescriptor) (*flight.PollInfo, error) {
	return nil, notServed("PollFlightInfo", "call GetFlightInfo, which responds immediately")
}
