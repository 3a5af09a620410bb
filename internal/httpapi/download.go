package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// download answers a call whose stream is a file (header, chunks, trailer) with the file
// itself. grpc-gateway's marshalers could only write lines of JSON. An error before the
// first byte is a normal error response. A later error aborts the transfer, because a
// body that merely ends would look complete.
func (a *api) download(w http.ResponseWriter, r, req *http.Request, rt *route, params map[string]string) {
	message, err := rt.message(req, params)
	if err != nil {
		writeError(w, a.toAPIError(r.Context(), err))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // ends the call with the handler
	ctx, err = runtime.AnnotateContext(ctx, a.mux, req, rt.rpc)
	if err != nil {
		writeError(w, a.toAPIError(ctx, err))
		return
	}
	f, err := a.openFile(ctx, rt, message, r)
	if err != nil {
		writeError(w, a.toAPIError(ctx, err))
		return
	}
	if !isHead(r) {
		f.part, err = f.next()
	}
	if err == nil {
		err = f.writeHead(w)
	}
	if err != nil {
		writeError(w, a.toAPIError(ctx, err))
		return
	}
	if isHead(r) {
		return
	}
	if err := f.writeBody(w); err != nil {
		a.Log.DebugContext(ctx, "download aborted", slog.String("rpc", rt.rpc), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// message makes the request message of the call, as grpc-gateway's handlers do.
func (rt *route) message(req *http.Request, params map[string]string) (protoreflect.Message, error) {
	msg := rt.input.New()
	if rt.content != nil {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if len(raw) > 0 {
			if err := protojson.Unmarshal(raw, msg.Interface()); err != nil {
				return nil, invalid(bodyViolation(err))
			}
		}
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if err := runtime.PopulateQueryParameters(msg.Interface(), query, noFilter); err != nil {
		return nil, err
	}
	for _, name := range rt.params {
		if err := runtime.PopulateFieldFromPath(msg.Interface(), name, params[name]); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

// anyETag is the if_match that accepts any state of a file, so that the header has its
// size and etag.
const anyETag = "*"

// openFile makes the call and reads the header. HEAD, and a range without If-Range,
// request the file with its size and etag. A range is answered with the whole file if the
// file has changed, or has neither size nor etag.
func (a *api) openFile(ctx context.Context, rt *route, message protoreflect.Message, r *http.Request) (*file, error) {
	fields, ok := resumeFieldsOf(message)
	wanted, isRange := rangeOf(r.Header)
	switch {
	case ok && isHead(r):
		fields.set(message, 0, anyETag)
	case ok && isRange:
		return a.openRange(ctx, rt, message, fields, wanted)
	}
	return a.openStream(ctx, rt, message)
}

// openRange opens a part of a file.
func (a *api) openRange(ctx context.Context, rt *route, message protoreflect.Message, fields resumeFields, wanted byteRange) (*file, error) {
	etag := cmp.Or(wanted.etag, anyETag)
	fields.set(message, wanted.start, etag)
	f, err := a.openStream(ctx, rt, message)
	if isETagMismatch(err) { // changed, shorter, or not resumable
		fields.set(message, 0, anyETag)
		if f, err = a.openStream(ctx, rt, message); err == nil && wanted.etag != "" && f.header.GetEtag() != wanted.etag {
			return f, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if f.header.GetEtag() == "" || f.header.SizeBytes == nil {
		f.cancel()
		fields.set(message, 0, "")
		return a.openStream(ctx, rt, message)
	}
	f.isRange = true
	start, end := wanted.of(f.header.GetSizeBytes())
	if f.limit = end; start == f.header.GetOffset() || start >= end {
		f.first = start
		return f, nil
	}
	fields.set(message, start, f.header.GetEtag())
	f.cancel()
	again, err := a.openStream(ctx, rt, message)
	if err != nil {
		return nil, err
	}
	again.isRange, again.first, again.limit = true, start, end
	return again, nil
}

// openStream makes the call. The file's cancel ends it; the request's context does at the
// latest.
func (a *api) openStream(ctx context.Context, rt *route, message protoreflect.Message) (_ *file, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	stream, err := a.Conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, rt.rpc)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(stream.SendMsg(message.Interface()), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f := &file{stream: stream, output: rt.output, cancel: cancel}
	first, err := f.next()
	if err != nil {
		return nil, err
	}
	header, ok := first.(*runicornapiv1.FileHeader)
	if !ok {
		return nil, errors.New("the stream of a file begins without a header")
	}
	f.header = header
	return f, nil
}

// file is a file while it is received.
type file struct {
	cancel context.CancelFunc // ends the call
	stream grpc.ClientStream
	output protoreflect.MessageType
	header *runicornapiv1.FileHeader
	// part is the next part: bytes, or the trailer.
	part any
	// isRange is set if only the bytes from first to before limit are sent.
	isRange      bool
	first, limit int64
}

// next receives one message: a header, bytes or a trailer. A stream that ends OK without
// a trailer is an error.
func (f *file) next() (any, error) {
	msg := f.output.New()
	if err := f.stream.RecvMsg(msg.Interface()); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the stream of a file ends without a trailer")
		}
		return nil, err
	}
	field := msg.WhichOneof(msg.Descriptor().Oneofs().ByName("part"))
	if field == nil {
		return nil, errors.New("the stream of a file has an empty message")
	}
	if field.Kind() == protoreflect.BytesKind {
		return msg.Get(field).Bytes(), nil
	}
	return msg.Get(field).Message().Interface(), nil
}

// writeHead writes the headers of the response. If it fails, nothing was sent yet.
func (f *file) writeHead(w http.ResponseWriter) error {
	h, size := w.Header(), f.header.GetSizeBytes()
	status := http.StatusOK
	if !f.isRange {
		f.first, f.limit = f.header.GetOffset(), size
	}
	if f.isRange || f.first > 0 {
		switch {
		case f.header.SizeBytes == nil:
			return errors.New("a file of unknown size was resumed")
		case f.first >= f.limit:
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
			return newAPIError(http.StatusRequestedRangeNotSatisfiable, codes.OutOfRange, runicornapiv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
				fmt.Sprintf("the range begins after the last byte of the file, which has %d", size), nil)
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", f.first, f.limit-1, size))
	}
	if f.header.SizeBytes != nil {
		h.Set("Content-Length", strconv.FormatInt(f.limit-f.first, 10))
	}
	h.Set("Accept-Ranges", "none")
	if etag := f.header.GetEtag(); etag != "" {
		h.Set("ETag", quoteETag(etag))
		h.Set("Accept-Ranges", "bytes")
	}
	for _, text := range f.header.GetLimitations() {
		h.Add("Runicorn-Limitation", headerText(text))
	}
	h.Set("Content-Type", f.header.GetContentType())
	h.Set("Content-Disposition", disposition(f.header.GetFileName()))
	// A run may contain an HTML page with scripts, which must not run with the origin of
	// this server.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	w.WriteHeader(status)
	return nil
}

// writeBody writes all bytes. It returns an error if the size differs from the trailer's.
func (f *file) writeBody(w http.ResponseWriter) (err error) {
	written := f.header.GetOffset()
	for {
		switch part := f.part.(type) {
		case []byte:
			isLast := f.isRange && written+int64(len(part)) >= f.limit
			if isLast {
				part = part[:f.limit-written]
			}
			n, err := w.Write(part)
			written += int64(n)
			if err != nil || isLast {
				return err
			}
		case *runicornapiv1.FileTrailer:
			return errors.Join(checkTrailer(part, written), f.end())
		default:
			return fmt.Errorf("the stream of a file has a %T after its header", part)
		}
		if f.part, err = f.next(); err != nil {
			return err
		}
	}
}

// end checks that the stream ends without an error after its trailer.
func (f *file) end() error {
	err := f.stream.RecvMsg(f.output.New().Interface())
	switch {
	case err == nil:
		return errors.New("the stream of a file continues after its trailer")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// checkTrailer returns an error if the file is truncated. What a complete file lacks is
// recorded in the file itself.
func checkTrailer(trailer *runicornapiv1.FileTrailer, written int64) error {
	if trailer.GetSizeBytes() != written {
		return fmt.Errorf("%d of %d bytes have come", written, trailer.GetSizeBytes())
	}
	return nil
}

// isETagMismatch recognises the refusal of an if_match.
func isETagMismatch(err error) bool {
	if err == nil {
		return false
	}
	f, ok := fromError(err)
	return ok && errorInfo(f.st.Proto()).GetReason() == "ETAG_MISMATCH"
}

// isFileStream reports whether the messages of a stream are the parts of a file.
func isFileStream(output protoreflect.MessageDescriptor) bool {
	header := output.Fields().ByName("header")
	var want proto.Message = (*runicornapiv1.FileHeader)(nil)
	return header != nil && header.Message() != nil && header.Message().FullName() == want.ProtoReflect().Descriptor().FullName()
}
