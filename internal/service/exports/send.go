package exports

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
)

// newExportSender returns the sender of an export.
func newExportSender(stream exportStream) *filestream.Sender {
	return filestream.New(func(part filestream.Part) error { return stream.Send(exportMessage(part)) })
}

// exportMessage makes the message of a part of the file.
func exportMessage(part filestream.Part) *runicornapiv1.ExportExperimentResponse {
	switch {
	case part.Header != nil:
		return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Header{Header: part.Header}}
	case part.Trailer != nil:
		return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{Trailer: part.Trailer}}
	}
	return &runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Chunk{Chunk: part.Chunk}}
}
