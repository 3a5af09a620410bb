package service

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
)

// exportSender sends a file as header, chunks and trailer. The header goes out
// with the first full chunk, so that what fails before it is an error and no
// begun file. It belongs to one goroutine.
type exportSender struct {
	stream  exportStream
	cpuSlot *cpugate.Slot             // of the export
	header  *runicornapiv1.FileHeader // until it is sent
	begun   bool                      // the header was sent
	chunk   []byte
	size    int64
	sum     hash.Hash
	err     error // the first failure: nothing is sent after it
}

func newExportSender(stream exportStream, cpuSlot *cpugate.Slot) *exportSender {
	return &exportSender{stream: stream, cpuSlot: cpuSlot, sum: sha256.New()}
}

// begin says what file follows, unless that was sent already.
func (s *exportSender) begin(header *runicornapiv1.FileHeader) {
	if !s.begun {
		s.header = header
	}
}

// Write collects bytes and sends full chunks.
func (s *exportSender) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 && s.err == nil {
		if s.chunk == nil {
			// Each message has bytes of its own: grpc-go may look at it after Send.
			s.chunk = make([]byte, 0, chunkSize)
		}
		n := min(len(b), chunkSize-len(s.chunk))
		s.chunk, b = append(s.chunk, b[:n]...), b[n:]
		if len(s.chunk) == chunkSize {
			s.flush()
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	return written, nil
}

// flush sends what was collected, after the header.
func (s *exportSender) flush() {
	if s.header != nil {
		s.send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Header{Header: s.header}})
		s.header, s.begun = nil, true
	}
	if len(s.chunk) == 0 {
		return
	}
	_, _ = s.sum.Write(s.chunk) // never fails, says hash.Hash
	s.size += int64(len(s.chunk))
	s.send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Chunk{Chunk: s.chunk}})
	s.chunk = nil
}

func (s *exportSender) send(message *runicornapiv1.ExportExperimentResponse) {
	if s.err == nil {
		s.err = s.cpuSlot.Unlocked(func() error { return s.stream.Send(message) })
	}
}

// finish sends the rest and the trailer. It is called when the file is
// complete, and only then.
func (s *exportSender) finish(missing []string) error {
	s.flush()
	s.send(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{
		Trailer: &runicornapiv1.FileTrailer{
			SizeBytes: s.size, Sha256: hex.EncodeToString(s.sum.Sum(nil)), MissingFiles: missing,
		},
	}})
	return s.err
}
