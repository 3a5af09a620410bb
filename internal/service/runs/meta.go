package runs

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// fillFromMeta completes a run that the list lacks from meta.json, which has the same
// fields. ListErr is why there was no list.
func (r *fullRead) fillFromMeta(ctx context.Context, e *runicornapiv1.Experiment, listErr error) {
	known, err := document(r.target, r.meta)
	if known != nil {
		if seconds := convert.Finite((*known)["created_at"]); seconds != nil && *seconds > 0 && *seconds < maxSeconds {
			e.CreateTime = timestamppb.New(time.UnixMicro(int64(math.Round(*seconds * 1e6))))
		}
		e.Tags = tagsOf((*known)["tags"])
	} else if listErr == nil {
		listErr = err
	}
	if listErr != nil {
		addMissing(ctx, e, target.TimeoutError(ctx, e.GetViewer(), listErr), "create_time", "tags", "best_metric")
	}
}

// tagsOf reads the tags of meta.json.
func tagsOf(v restclient.Value) []string {
	var tags []string
	if v.Kind != restclient.ValueJSON || json.Unmarshal([]byte(v.Text), &tags) != nil {
		return nil // a script may have written any value
	}
	return tags
}

// ownFields are the keys of meta.json that an experiment has as fields. The fields are
// current; meta.json has the values from the start of the run.
var ownFields = []string{"id", "project", "name", "path", "alias", "tags", "created_at", "pid"}

// dropServerPaths removes from the metadata paths of the Viewer's machine, and the
// ownFields.
func dropServerPaths(meta restclient.Values) restclient.Values {
	out := make(restclient.Values, len(meta))
	for key, v := range meta {
		if slices.Contains(ownFields, key) || isPathKey(key) || v.IsServerPath() {
			continue
		}
		out[key] = v
	}
	return out
}

// isPathKey reports whether the value of a key is a path, as of storage_dir or
// workspace_root.
func isPathKey(key string) bool {
	return strings.HasSuffix(key, "_dir") || strings.HasSuffix(key, "_root") || strings.HasSuffix(key, "_path")
}
