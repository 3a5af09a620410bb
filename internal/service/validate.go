package service

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Validator checks requests against the rules in the contract, before any
// method sees them.
type Validator struct {
	rules protovalidate.Validator
}

// NewValidator compiles the rules of all our requests, so that no first call
// pays for it.
func NewValidator() (*Validator, error) {
	rules, err := protovalidate.New(protovalidate.WithMessages(requests()...))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of the contract: %w", err)
	}
	return &Validator{rules: rules}, nil
}

// check makes field violations, in our field names, of broken rules.
func (v *Validator) check(msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return nil
	}
	err := v.rules.Validate(m)
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
	if err := v.check(req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams: it checks what the client sends.
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
	return onFreshStack(func() error {
		if err := s.ServerStream.RecvMsg(msg); err != nil {
			return err
		}
		return s.v.check(msg)
	})
}
