package tensorboard

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// The tags of a session, which is the HParams term for a run. Their content is in their
// metadata; they have no tensors.
const (
	startTag = "_hparams_/session_start_info"
	endTag   = "_hparams_/session_end_info"
)

// listHParams lists the configuration and the summary of each run that has any.
func (s *Server) listHParams(ctx context.Context, req *tensorboardpb.ListTensorsRequest) (*tensorboardpb.ListTensorsResponse, error) {
	l, err := s.list(ctx, req.GetExperimentId())
	if err != nil {
		return nil, err
	}
	runs := l.selectRuns(req.GetRunTagFilter())
	records, err := s.records(ctx, runs)
	if err != nil {
		return nil, err
	}
	out, wanted := &tensorboardpb.ListTensorsResponse{}, namesOf(req.GetRunTagFilter().GetTags())
	for i, r := range runs {
		if records[i] == nil {
			continue // the run cannot be read
		}
		start := sessionStart(r, records[i])
		if len(start.GetHparams()) == 0 {
			continue
		}
		entry := &tensorboardpb.TensorRunEntry{RunName: r.name}
		for _, t := range []struct {
			name    string
			content *tensorboardpb.HyperparameterContent
		}{
			{startTag, &tensorboardpb.HyperparameterContent{Data: &tensorboardpb.HyperparameterContent_SessionStartInfo{SessionStartInfo: start}}},
			{endTag, &tensorboardpb.HyperparameterContent{Data: &tensorboardpb.HyperparameterContent_SessionEndInfo{SessionEndInfo: sessionEnd(r)}}},
		} {
			if !wanted.has(t.name) {
				continue
			}
			content, err := proto.Marshal(t.content)
			if err != nil {
				return nil, fmt.Errorf("encode the hyperparameters of %s: %w", r.name, err)
			}
			entry.Tags = append(entry.Tags, &tensorboardpb.TensorTagEntry{TagName: t.name, Metadata: &tensorboardpb.TensorMetadata{
				MaxWallTime: r.created(), SummaryMetadata: summary(pluginHParams, tensorboardpb.DataClass_DATA_CLASS_TENSOR, content),
			}})
		}
		if len(entry.GetTags()) > 0 {
			out.Runs = append(out.Runs, entry)
		}
	}
	return out, nil
}

// sessionStart contains the configuration and the summary of a run.
func sessionStart(r *run, rec *search.Record) *tensorboardpb.SessionStart {
	start := &tensorboardpb.SessionStart{Hparams: map[string]*structpb.Value{}, StartTimeSecs: r.created()}
	for name, v := range rec.Params {
		name = convert.Text(name)
		if start.Hparams[name] != nil {
			continue // an argument hides an addition with the same name
		}
		if value := valueOf(v); value != nil {
			start.Hparams[name] = value
		}
	}
	return start
}

// valueOf converts a scalar; nil if the value is not one. NaN and the infinities become
// strings, because TensorBoard drops them as numbers.
func valueOf(v filter.Value) *structpb.Value {
	switch x := v.Scalar().(type) {
	case bool:
		return structpb.NewBoolValue(x)
	case string:
		return structpb.NewStringValue(convert.Text(x))
	case int64:
		return structpb.NewNumberValue(float64(x))
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return structpb.NewStringValue(fmt.Sprint(x))
		}
		return structpb.NewNumberValue(x)
	}
	return nil
}

// sessionStates maps statuses to those of HParams. An interrupted run is a failure.
var sessionStates = map[runicornapiv1.ExperimentStatus]tensorboardpb.SessionStatus{
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING:     tensorboardpb.SessionStatus_SESSION_STATUS_RUNNING,
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED:    tensorboardpb.SessionStatus_SESSION_STATUS_SUCCESS,
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED:      tensorboardpb.SessionStatus_SESSION_STATUS_FAILURE,
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED: tensorboardpb.SessionStatus_SESSION_STATUS_FAILURE,
}

// sessionEnd contains the status of a run. It has no end time, which TensorBoard does not
// show and which would cost a request for each run.
func sessionEnd(r *run) *tensorboardpb.SessionEnd {
	return &tensorboardpb.SessionEnd{Status: sessionStates[convert.Status(r.Listed.Status.Value)]}
}
