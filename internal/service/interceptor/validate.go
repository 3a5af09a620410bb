package interceptor

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/freshstack"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
)

// Validator checks requests against the rules in the contract before they reach a method.
type Validator struct {
	rules protovalidate.Validator
}

// maxFullCheck is the maximum size in bytes of a request for which all violations are
// reported. A larger request could have a hundred thousand; only the first is reported.
const maxFullCheck = 16 << 10

// NewValidator compiles the rules of all requests, so that the first calls are not
// delayed.
func NewValidator() (*Validator, error) {
	requests := make([]protoreflect.MessageDescriptor, 0, len(methods))
	for _, m := range methods {
		requests = append(requests, m.Input())
	}
	rules, err := protovalidate.New(protovalidate.WithMessageDescriptors(requests...))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of the contract: %w", err)
	}
	return &Validator{rules: rules}, nil
}

// check returns the violated rules with the field names of the request.
func (v *Validator) check(msg any) error {
	if m, ok := msg.(proto.Message); ok && wire.IsUndecodable(m) {
		return apierr.Invalid("", "the request cannot be decoded: it is not a %s", m.ProtoReflect().Descriptor().FullName())
	}
	m, ok := msg.(proto.Message)
	if !ok {
		return nil
	}
	var options []protovalidate.ValidationOption
	if proto.Size(m) > maxFullCheck {
		options = append(options, protovalidate.WithFailFast())
	}
	err := v.rules.Validate(m, options...)
	broken, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return err
	}
	fields := make([]*errdetails.BadRequest_FieldViolation, 0, len(broken.Violations))
	for _, b := range broken.Violations {
		fields = append(fields, &errdetails.BadRequest_FieldViolation{
			Field:       protovalidate.FieldPathString(b.Proto.GetField()),
			Description: b.Proto.GetMessage(),
			Reason:      b.Proto.GetRuleId(),
		})
	}
	return apierr.InvalidFields(fields...)
}

// Unary is the interceptor for unary calls.
func (v *Validator) Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	requestReceived(ctx)
	if err := v.check(req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams.
func (v *Validator) Stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &checkedStream{ServerStream: ss, v: v})
}

// checkedStream checks each message that it receives.
type checkedStream struct {
	grpc.ServerStream
	v *Validator
}

// RecvMsg receives and checks one message.
func (s *checkedStream) RecvMsg(msg any) error {
	return freshstack.Run(func() error {
		if err := s.ServerStream.RecvMsg(msg); err != nil {
			return err
		}
		requestReceived(s.Context())
		return s.v.check(msg)
	})
}
