package convert

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// statuses are the Viewer's words for where a run stands. The bin of 0.5.3
// says "unknown" of a run whose status it lost.
var statuses = map[string]runicornapiv1.ExperimentStatus{
	"":            runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"unknown":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"running":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING,
	"finished":    runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED,
	"failed":      runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED,
	"interrupted": runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED,
}

// Status converts a Viewer's word; one that a training script made
// up is OTHER.
func Status(text string) runicornapiv1.ExperimentStatus {
	if s, ok := statuses[text]; ok {
		return s
	}
	return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER
}

// IsKnownStatus reports whether a Viewer's word is one of the SDK.
func IsKnownStatus(text string) bool {
	_, ok := statuses[text]
	return ok
}
