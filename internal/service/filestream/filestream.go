// Package filestream sends a file over a stream as header, chunks and trailer. Downloads
// and exports share it.
package filestream

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// ChunkSize is the maximum size in bytes of a chunk. The contract allows 256 KiB. Clients
// need time per message: with chunks of 32 KiB, Python takes twice as long. BufferPool
// has buffers of this size, because those of grpc-go are of 32 KiB and then of 1 MiB. A
// download holds a small multiple of ChunkSize, whatever the size of the file.
const ChunkSize = chunkBuffer - 64

const chunkBuffer = 256 << 10

// BufferPool returns a pool for the messages of a server that sends files.
func BufferPool() mem.BufferPool {
	return mem.NewTieredBufferPool(256, 4<<10, 16<<10, 32<<10, chunkBuffer, 1<<20)
}

// AnyETag is the if_match of a caller that accepts the file in any state and wants its
// size and etag.
const AnyETag = "*"

// ChangedError is the error for a resumed file that has changed.
func ChangedError(cause error) error {
	return &apierr.Error{
		Code: codes.Aborted, Reason: runicornapiv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH,
		Message: "if_match is not the current etag of the content: begin again without an offset", Cause: cause,
	}
}

// StallTimeout is how long a client may leave a message unread before its stream is
// ended. What the stream holds is limited, and other callers wait for it.
const StallTimeout = time.Minute

// Sender sends a file as header, chunks and trailer. The header is sent with the first
// full chunk, so that an earlier failure is an error instead of an incomplete file. A
// Sender belongs to one goroutine.
type Sender struct {
	send   func(part protoreflect.Name, value protoreflect.Value) error
	header *runicornapiv1.FileHeader // until it is sent
	begun  bool                      // the header was sent
	etag   string                    // of the header
	chunk  []byte
	end    int64 // offset in the file after the bytes that were sent
	sum    hash.Hash
	err    error // the first failure: nothing is sent after it
}

// New returns a sender for a stream whose messages are a header, a chunk or a trailer. If
// the client leaves a message unread for stall, sending fails. The method must then
// return, because only the end of the call ends the blocked Send.
func New[M any, P interface {
	*M
	proto.Message
}](stream grpc.ServerStreamingServer[M], stall time.Duration,
) *Sender {
	s := &Sender{sum: sha256.New()}
	s.send = func(part protoreflect.Name, value protoreflect.Value) error {
		message := new(M)
		m := P(message).ProtoReflect()
		m.Set(m.Descriptor().Fields().ByName(part), value)
		sent := make(chan error, 1)
		go func() { sent <- stream.Send(message) }() // ends with the stream at the latest
		timer := time.NewTimer(stall)
		defer timer.Stop()
		select {
		case err := <-sent:
			return err
		case <-timer.C:
			return s.stallError(stall)
		}
	}
	return s
}

// stallError is the error of a client that stopped reading.
func (s *Sender) stallError(stall time.Duration) error {
	hint := "begin again"
	if s.etag != "" {
		hint = fmt.Sprintf("resume with offset %d and the etag of the header as if_match", s.end)
	}
	return apierr.OverLimit("download_stall", "nothing was read for %v, so the stream was ended; %s", stall, hint)
}

// Begin sets the header, with the offset of the first byte, unless the header was already
// sent.
func (s *Sender) Begin(header *runicornapiv1.FileHeader) {
	if !s.begun {
		s.header, s.end, s.etag = header, header.GetOffset(), header.GetEtag()
	}
}

// End returns the offset in the file after the bytes that were sent.
func (s *Sender) End() int64 { return s.end }

// Write collects bytes and sends full chunks.
func (s *Sender) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 && s.err == nil {
		n := copy(s.space(), b)
		s.chunk, b = s.chunk[:len(s.chunk)+n], b[n:]
		if len(s.chunk) == ChunkSize {
			s.Flush()
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	return written, nil
}

// SendAll sends everything that r returns until EOF.
func (s *Sender) SendAll(r io.Reader) error {
	for {
		n, err := io.ReadFull(r, s.space())
		s.chunk = s.chunk[:len(s.chunk)+n]
		if s.Flush(); s.err != nil {
			return s.err
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// space returns where the next bytes of the chunk go. Each message gets a new buffer:
// grpc-go may read it after Send has returned.
func (s *Sender) space() []byte {
	if s.chunk == nil {
		s.chunk = make([]byte, 0, ChunkSize)
	}
	return s.chunk[len(s.chunk):ChunkSize]
}

// Flush sends the header and the collected bytes.
func (s *Sender) Flush() {
	if s.header != nil {
		s.sendPart("header", protoreflect.ValueOfMessage(s.header.ProtoReflect()))
		s.header, s.begun = nil, true
	}
	if len(s.chunk) == 0 {
		return
	}
	_, _ = s.sum.Write(s.chunk) // hash.Hash never returns an error
	s.sendPart("chunk", protoreflect.ValueOfBytes(s.chunk))
	s.end += int64(len(s.chunk))
	s.chunk = nil
}

// Err returns the first failure to send.
func (s *Sender) Err() error { return s.err }

func (s *Sender) sendPart(part protoreflect.Name, value protoreflect.Value) {
	if s.err == nil {
		s.err = s.send(part, value)
	}
}

// Finish sends the remaining bytes and the trailer. It must be called only when the file
// is complete. Missing names the files that it lacks; limitations are its other
// deficiencies.
func (s *Sender) Finish(missing, limitations []string) error {
	s.Flush()
	trailer := &runicornapiv1.FileTrailer{
		SizeBytes: s.end, Sha256: hex.EncodeToString(s.sum.Sum(nil)), MissingFiles: missing, Limitations: limitations,
	}
	s.sendPart("trailer", protoreflect.ValueOfMessage(trailer.ProtoReflect()))
	return s.err
}
