package arrowflight

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// ticket selects a table. Exactly one field is set.
type ticket struct {
	export *runicornapiv1.ExportExperimentRequest
	tail   *runicornapiv1.TailMetricsRequest
}

// ticketForms is the end of each error message about a ticket.
const ticketForms = `it is {"export": ExportExperimentRequest} or {"tail": TailMetricsRequest}, such as {"export": {"run_id": "20260101_120000_abcdef"}}`

// parseTicket parses a ticket. field is its name in errors: ticket or cmd.
func parseTicket(field string, text []byte) (*ticket, error) {
	var forms map[string]json.RawMessage
	if err := json.Unmarshal(text, &forms); err != nil || len(forms) != 1 {
		return nil, apierr.Invalid(field, "is not a JSON object with exactly one member; %s", ticketForms)
	}
	t := &ticket{}
	for form, request := range forms {
		var into proto.Message
		switch form {
		case "export":
			t.export = &runicornapiv1.ExportExperimentRequest{}
			into = t.export
		case "tail":
			t.tail = &runicornapiv1.TailMetricsRequest{}
			into = t.tail
		default:
			return nil, apierr.Invalid(field, "has the unknown member %.64q; %s", form, ticketForms)
		}
		if err := fromJSON(field+"."+form, request, into); err != nil {
			return nil, err
		}
	}
	return t, t.check(field)
}

// check rejects options that do not apply to a table. The API validates the rest.
func (t *ticket) check(field string) error {
	if t.export == nil {
		return nil
	}
	switch t.export.GetFormat() {
	case runicornapiv1.ExportFormat_EXPORT_FORMAT_UNSPECIFIED, runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW:
	default:
		return apierr.Invalid(field+".export.format", "must be left out: Flight sends Arrow; other formats come from ExportExperiment")
	}
	if t.export.GetOffset() != 0 || t.export.GetIfMatch() != "" {
		return apierr.Invalid(field+".export.offset", "and if_match must be left out: a table is sent from its beginning")
	}
	t.export.Format = runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW
	return nil
}

// ticketOf converts a descriptor.
func ticketOf(d *flight.FlightDescriptor) (*ticket, error) {
	switch d.GetType() {
	case flight.DescriptorCMD:
		return parseTicket("cmd", d.GetCmd())
	case flight.DescriptorPATH:
		t := &ticket{export: &runicornapiv1.ExportExperimentRequest{Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW}}
		switch path := d.GetPath(); len(path) {
		case 1:
			t.export.RunId = path[0]
		case 2:
			t.export.Viewer, t.export.RunId = path[0], path[1]
		default:
			return nil, apierr.Invalid("path", "has %d parts; it is [viewer, run_id] or [run_id]", len(path))
		}
		return t, nil
	}
	return nil, apierr.Invalid("type", "must be PATH, with the path [viewer, run_id], or CMD, with a ticket; %s", ticketForms)
}

// bytes encodes the ticket.
func (t *ticket) bytes() ([]byte, error) {
	form, request := "export", proto.Message(t.export)
	if t.tail != nil {
		form, request = "tail", t.tail
	}
	text, err := toJSON.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a ticket: %w", err)
	}
	var out bytes.Buffer // protojson inserts spaces at random
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("encode a ticket: %w", err)
	}
	return fmt.Appendf(nil, `{%q:%s}`, form, out.Bytes()), nil
}

// info describes the table: served by this server, of unknown size.
func (t *ticket) info(d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	text, err := t.bytes()
	if err != nil {
		return nil, err
	}
	return &flight.FlightInfo{
		FlightDescriptor: d,
		Endpoint:         []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: text}}},
		TotalRecords:     -1, TotalBytes: -1,
		Ordered: true,
	}, nil
}

// fromJSON parses a request, with field names of the contract or in camelCase.
func fromJSON(field string, text []byte, into proto.Message) error {
	err := protojson.Unmarshal(text, into)
	if err == nil {
		return nil
	}
	message := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"))
	return apierr.Invalid(field, "is not a valid %s: %s", into.ProtoReflect().Descriptor().Name(), message) // Invalid truncates it
}
