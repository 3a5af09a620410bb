package httpface

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
)

// writeStall is how long a client may leave what was written unread before
// its download is given up. It holds a stream of the server, and behind that
// one of a Viewer's few.
const writeStall = 2 * time.Minute

// download answers a call whose stream is a file (header, chunks, trailer)
// with the file itself, in the gateway's place: its marshalers could only make
// lines of JSON of it. An error before the first byte is answered as always;
// one after it aborts the transfer, since a body that merely ends looks whole.
func (a *api) download(w http.ResponseWriter, r, req *http.Request, rt *route, params map[string]string) {
	message, err := rt.message(req, params)
	if err != nil {
		writeFault(w, a.toFault(r.Context(), err))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // the call ends with the handler, however that ends
	ctx, err = runtime.AnnotateContext(ctx, a.mux, req, rt.rpc)
	if err != nil {
		writeFault(w, a.toFault(ctx, err))
		return
	}
	f, err := a.openFile(ctx, rt, message, resumptionOf(r.Header))
	if err != nil {
		writeFault(w, a.toFault(ctx, err))
		return
	}
	if err := f.writeHead(w); err != nil {
		writeFault(w, a.toFault(ctx, err))
		return
	}
	if err := f.writeBody(w); err != nil {
		a.log.DebugContext(ctx, "download aborted", slog.String("rpc", rt.rpc), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// message makes the request of the call, as the gateway's own handlers do.
func (rt *route) message(req *http.Request, params map[string]string) (protoreflect.Message, error) {
	msg := rt.input.New()
	if rt.body {
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

// openFile makes the call and reads as far as the first bytes, or the end. A
// resumption whose file is another one now becomes the whole file, as If-Range
// wants it.
func (a *api) openFile(ctx context.Context, rt *route, message protoreflect.Message, resume resumption) (*file, error) {
	resumed := resume.apply(message)
	f, err := a.begin(ctx, rt, message)
	if resumed && isOtherFile(err) {
		resume.undo(message)
		return a.begin(ctx, rt, message)
	}
	return f, err
}

// begin makes the call once.
func (a *api) begin(ctx context.Context, rt *route, message protoreflect.Message) (*file, error) {
	stream, err := a.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, rt.rpc)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(stream.SendMsg(message.Interface()), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f := &file{stream: stream, output: rt.output}
	first, err := f.next()
	if err != nil {
		return nil, err
	}
	header, ok := first.(*runicornv1.FileHeader)
	if !ok {
		return nil, errors.New("the stream of a file begins without a header")
	}
	f.header = header
	f.part, err = f.next()
	return f, err
}

// file is a file as it arrives.
type file struct {
	stream grpc.ClientStream
	output protoreflect.MessageType
	header *runicornv1.FileHeader
	// part is what follows: bytes, or the trailer.
	part any
}

// next receives one message: a header, bytes or a trailer. OK without a
// trailer would be a defect of the server, and is an error here.
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

// writeHead writes the headers of the answer. Nothing is on the wire yet when
// it fails.
func (f *file) writeHead(w http.ResponseWriter) error {
	h, size := w.Header(), f.header.GetSizeBytes()
	status := http.StatusOK
	if f.header.GetOffset() > 0 {
		switch {
		case f.header.SizeBytes == nil:
			return errors.New("a file of unknown size was resumed")
		case f.header.GetOffset() >= size:
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
			return newFault(http.StatusRequestedRangeNotSatisfiable, codes.OutOfRange, runicornv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
				"the range begins at the end of the file: all of it was delivered", nil)
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", f.header.GetOffset(), size-1, size))
	}
	if f.header.SizeBytes != nil {
		h.Set("Content-Length", strconv.FormatInt(size-f.header.GetOffset(), 10))
	}
	if etag := f.header.GetEtag(); etag != "" {
		h.Set("ETag", quoteETag(etag))
		h.Set("Accept-Ranges", "bytes")
	}
	for _, text := range f.header.GetLimitations() {
		h.Add("Runicorn-Limitation", headerText(text))
	}
	h.Set("Content-Type", f.header.GetContentType())
	h.Set("Content-Disposition", disposition(f.header.GetFileName()))
	// A run may hold a page of HTML with scripts in it, which must not run as
	// a page of this server.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	w.WriteHeader(status)
	return nil
}

// writeBody writes all bytes. Whatever is wrong with the file is an error,
// also what the trailer says.
func (f *file) writeBody(w http.ResponseWriter) (err error) {
	control := http.NewResponseController(w)
	written := f.header.GetOffset()
	for {
		switch part := f.part.(type) {
		case []byte:
			if err := ignoreUnsupported(control.SetWriteDeadline(time.Now().Add(writeStall))); err != nil {
				return err
			}
			n, err := w.Write(part)
			written += int64(n)
			if err != nil {
				return err
			}
		case *runicornv1.FileTrailer:
			return errors.Join(checkTrailer(part, written), ignoreUnsupported(control.SetWriteDeadline(time.Time{})), f.end())
		default:
			return fmt.Errorf("the stream of a file has a %T after its header", part)
		}
		if f.part, err = f.next(); err != nil {
			return err
		}
	}
}

// end wants the stream to end well after its trailer.
func (f *file) end() error {
	err := f.stream.RecvMsg(f.output.New().Interface())
	switch {
	case err == nil:
		return errors.New("the stream of a file goes on behind its trailer")
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// checkTrailer refuses a file that is not whole. What it lacks cannot be told
// to a client that has a status already, so it must not look complete.
func checkTrailer(trailer *runicornv1.FileTrailer, written int64) error {
	switch {
	case trailer.GetSizeBytes() != written:
		return fmt.Errorf("%d of %d bytes have come", written, trailer.GetSizeBytes())
	case len(trailer.GetMissingFiles()) > 0:
		return fmt.Errorf("%d files are missing", len(trailer.GetMissingFiles()))
	}
	return nil
}

// ignoreUnsupported forgives a writer without deadlines, as tests have.
func ignoreUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// isOtherFile recognises the refusal of an if_match.
func isOtherFile(err error) bool {
	if err == nil {
		return false
	}
	f, ok := fromGateway(err)
	return ok && errorInfo(f.st.Proto()).GetReason() == "ETAG_MISMATCH"
}

// isFile tells whether the messages of a stream are the parts of a file.
func isFile(output protoreflect.MessageDescriptor) bool {
	header := output.Fields().ByName("header")
	var want proto.Message = (*runicornv1.FileHeader)(nil)
	return header != nil && header.Message() != nil && header.Message().FullName() == want.ProtoReflect().Descriptor().FullName()
}
