package interceptor

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// AuditRecord records who called which method with what outcome. It never contains a
// secret.
type AuditRecord struct {
	Time time.Time `json:"time"`
	// Name and Role are those of the line in the token file, and Subject is that of the
	// client certificate; each may be empty.
	Name    string `json:"name,omitempty"`
	Role    string `json:"role,omitempty"`
	Subject string `json:"subject,omitempty"`
	Peer    string `json:"peer,omitempty"`
	// RPC is the method, or the HTTP request if that was refused before it became a call.
	RPC string `json:"rpc"`
	// On holds the resources that the request names: Viewers, runs, artifacts, sessions,
	// hosts.
	On map[string]any `json:"on,omitempty"`
	// Code and Reason are the outcome. Failed is the number of items of a batch that were
	// not changed.
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
	Failed int    `json:"failed,omitempty"`
	// LeftOut is the number of refusals of unauthenticated callers that were not recorded
	// before this one because of the rate limit.
	LeftOut int64 `json:"left_out,omitempty"`
}

// Auditor records every call that changes something or needs the role admin, and every
// refused call. A nil Auditor records nothing.
type Auditor struct {
	// Write is called with a record before the response is sent; it must not fail.
	Write func(*AuditRecord)
}

// Unary is the interceptor for unary calls.
func (a *Auditor) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if r := a.record(ctx, info.FullMethod, req, err); r != nil {
		r.Failed = failedItems(resp)
		a.Write(r)
	}
	return resp, err
}

// failedItems returns the number of items of a batch that were not changed.
func failedItems(resp any) (n int) {
	results, ok := resp.(interface {
		GetResults() []*runicornapiv1.ExperimentResult
	})
	if !ok {
		return 0
	}
	for _, result := range results.GetResults() {
		if result.GetError() != nil {
			n++
		}
	}
	return n
}

// Stream is the interceptor for streams.
func (a *Auditor) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if a == nil {
		return handler(srv, ss)
	}
	s := &auditedStream{ServerStream: ss}
	err := handler(srv, s)
	if r := a.record(ss.Context(), info.FullMethod, s.request, err); r != nil {
		a.Write(r)
	}
	return err
}

// auditedStream remembers the request of a stream.
type auditedStream struct {
	grpc.ServerStream
	request any
}

// RecvMsg receives a message.
func (s *auditedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if s.request == nil {
		s.request = m
	}
	return err
}

// Refuse records an HTTP request that was refused before it became a call.
func (a *Auditor) Refuse(ctx context.Context, from, request string, err error) {
	if r := newRecord(ctx, request, status.Convert(err)); a != nil && r.isRefusal(ctx) {
		r.Peer = from
		a.Write(r)
	}
}

// record returns the record of a call; nil if the call is not recorded.
func (a *Auditor) record(ctx context.Context, fullMethod string, req any, err error) *AuditRecord {
	if a == nil {
		return nil
	}
	role := RoleOf(fullMethod)
	if d, ok := req.(*runicornapiv1.DeleteArtifactRequest); ok && d.GetPermanent() {
		role = RoleAdmin
	}
	r := newRecord(ctx, fullMethod, status.Convert(err))
	if role < RoleWrite && !r.isRefusal(ctx) {
		return nil
	}
	if p, ok := peer.FromContext(ctx); ok {
		r.Peer = p.Addr.String()
	}
	if m, ok := req.(proto.Message); ok {
		r.On = map[string]any{}
		collect(m.ProtoReflect(), r.On)
	}
	return r
}

func newRecord(ctx context.Context, rpc string, st *status.Status) *AuditRecord {
	r := &AuditRecord{Time: time.Now().UTC(), RPC: rpc, Code: st.Code().String(), Reason: apierr.ReasonOf(st)}
	if c := callerOf(ctx); c != nil {
		if c.grant != nil {
			r.Name, r.Role = c.grant.Name, c.grant.Role.String()
		}
		if c.cert != nil {
			r.Subject = c.cert.Subject.String()
		}
	}
	return r
}

// IsFlood reports whether the record is of a kind that unauthenticated callers can cause
// in any number.
func (r *AuditRecord) IsFlood() bool {
	return r.Role == "" && (r.Code == codes.Unauthenticated.String() || r.Code == codes.ResourceExhausted.String())
}

// isRefusal reports whether a call failed because of its caller's authority. For callers
// that are limited to some Viewers, calls that name another Viewer are refusals too.
func (r *AuditRecord) isRefusal(ctx context.Context) bool {
	switch r.Code {
	case codes.Unauthenticated.String(), codes.PermissionDenied.String():
		return true
	case codes.ResourceExhausted.String():
		return r.Reason == "SERVER_LIMIT"
	}
	c := callerOf(ctx)
	if c == nil || !c.isLimited() {
		return false
	}
	isHealth := r.Code == codes.NotFound.String() && r.Reason == ""
	return isHealth || r.Reason == "VIEWER_NOT_FOUND" || r.Reason == "RESUME_TOKEN_INVALID"
}

// audited are the fields that identify what a request applies to. No other field is
// recorded: some are secrets.
var audited = map[protoreflect.Name]bool{
	"viewer": true, "run_id": true, "run_ids": true, "resource_name": true, "evaluator_run_id": true,
	"name": true, "type": true, "version": true, "alias": true, "permanent": true, "asset_id": true,
	"all_deleted": true, "validate_only": true, "storage_root": true,
	"connection_id": true, "saved_connection_id": true, "session_id": true,
	"host": true, "port": true, "username": true, "key_type": true, "remote_root": true, "path": true,
	"service": true, // of health
}

// within are the fields whose messages have audited fields.
var within = map[protoreflect.Name]bool{"experiment": true, "config": true, "target": true, "host_key": true}

// maxAudited is the maximum length in bytes of a text in a record, and maxAuditedItems
// that of a list.
const maxAudited, maxAuditedItems = 256, 1000

// collect adds the audited fields of a message.
func collect(m protoreflect.Message, on map[string]any) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case within[field.Name()] && field.Message() != nil && !field.IsList():
			collect(v.Message(), on)
		case !audited[field.Name()] || field.Message() != nil:
		case field.IsList():
			items := make([]any, 0, min(v.List().Len(), maxAuditedItems))
			for i := range cap(items) {
				items = append(items, bounded(v.List().Get(i)))
			}
			on[string(field.Name())] = items
		default:
			on[string(field.Name())] = bounded(v)
		}
		return true
	})
}

// bounded returns a value with the limits of a record.
func bounded(v protoreflect.Value) any {
	if text, ok := v.Interface().(string); ok && len(text) > maxAudited {
		return strings.ToValidUTF8(text[:maxAudited], "") + "…"
	}
	return v.Interface()
}
