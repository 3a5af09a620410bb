package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// readBody reads the whole body. Bodies are small, and net/http detects that the client
// has disconnected only after the body was read.
func readBody(w http.ResponseWriter, r *http.Request, maxBody int64) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, newAPIError(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
			"the body must not be larger than "+strconv.FormatInt(maxBody, 10)+" bytes", map[string]string{"limit": "body_size"})
	}
	if errors.Is(err, errLargeBodies) {
		return nil, fromAPIErr(http.StatusTooManyRequests, apierr.OverLimit("large_bodies", "%v; try again", err))
	}
	if err != nil {
		return nil, invalid(violation("", "the body ends too early, or arrives too slowly"))
	}
	return raw, nil
}

// checkBody refuses a body that is not the JSON of the request, and returns the body for
// grpc-gateway, with the resume token of a Last-Event-ID.
func (rt *route) checkBody(raw []byte, params map[string]string, lastID string) ([]byte, violations) {
	blank := len(bytes.TrimSpace(raw)) == 0
	switch {
	case rt.content == nil && blank:
		return nil, nil
	case rt.content == nil:
		return nil, violations{violation("", "this call takes no body: its fields are parameters of the path and the query")}
	case blank && lastID == "":
		return nil, nil
	case blank:
		raw = []byte("{}")
	}
	msg := rt.content.New()
	if err := protojson.Unmarshal(raw, msg.Interface()); err != nil {
		return nil, violations{bodyViolation(err)}
	}
	var bad violations
	for _, name := range rt.params {
		if f := msg.Descriptor().Fields().ByName(protoreflect.Name(lastName(name))); msg.Has(f) && msg.Get(f).String() != params[name] {
			bad = append(bad, violation(lastName(name), "differs from the one in the path"))
		}
	}
	if lastID == "" || bad != nil {
		return raw, bad
	}
	return rt.resumeBody(msg, lastID)
}

// The messages of protojson that name a field; it deliberately varies the spaces between
// words. A message may continue with the rejected value, so only these parts are
// reported.
var (
	unknownField   = regexp.MustCompile(`unknown field "([^"]+)"`)
	duplicateField = regexp.MustCompile(`duplicate field "([^"]+)"`)
	invalidField   = regexp.MustCompile(`invalid value for (\S+) (?:type|field) ([A-Za-z0-9_.]+)`)
	syntaxPosition = regexp.MustCompile(`line (\d+):(\d+)`)
)

// bodyViolation describes what is wrong with a body.
func bodyViolation(err error) *errdetails.BadRequest_FieldViolation {
	text := err.Error()
	position := ""
	if m := syntaxPosition.FindStringSubmatch(text); m != nil {
		position = " (line " + m[1] + ", column " + m[2] + ")"
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return violation(m[1], "is not a field of this call's body%s", position)
	}
	if m := duplicateField.FindStringSubmatch(text); m != nil {
		return violation(m[1], "is set more than once%s", position)
	}
	if m := invalidField.FindStringSubmatch(text); m != nil {
		return violation(protoFieldName(m[2]), "must be of type %s%s", m[1], position)
	}
	return violation("", "the body is not the JSON of this call%s", position)
}

// protoFieldName converts a JSON name, as protojson reports it, such as pageSize to
// page_size.
func protoFieldName(jsonName string) string {
	return strings.ToLower(capital.ReplaceAllString(jsonName, "_$0"))
}

var capital = regexp.MustCompile(`[A-Z]`)

// resumeBody is resumeQuery for clients that POST.
func (rt *route) resumeBody(msg protoreflect.Message, id string) ([]byte, violations) {
	for _, name := range startFields {
		if f := msg.Descriptor().Fields().ByName(name); f != nil {
			msg.Clear(f)
		}
	}
	msg.Set(rt.token, protoreflect.ValueOfString(id))
	raw, err := protojson.Marshal(msg.Interface())
	if err != nil {
		return nil, violations{violation("Last-Event-ID", "must be valid UTF-8")}
	}
	return raw, nil
}
