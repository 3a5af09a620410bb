package experiments

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// sdkForm matches the ids of runs that Viewers can change. One id of another form makes a
// Viewer refuse the whole batch, so each id is checked here.
var sdkForm = regexp.MustCompile(`^[0-9]{8}_[0-9]{6}_[a-f0-9]{6}$`)

// checkSDKForm refuses ids of other forms.
func checkSDKForm(field, id string) error {
	if sdkForm.MatchString(id) {
		return nil
	}
	return apierr.Invalid(field, "must have the form of the SDK, YYYYMMDD_HHMMSS_xxxxxx: Viewers change no other runs")
}

// change is one experiment of a batch.
type change struct {
	target.Run
	requestedID string            // the id as the request has it
	err         error             // why it was not changed
	purged      *restclient.Purge // the Viewer's report of a purge
}

// parseChanges parses the ids of a request. An id that cannot be used is an error of its
// own item; only an unknown viewer field fails the call.
func (s *Service) parseChanges(ctx context.Context, viewer string, ids []string) ([]*change, error) {
	out := make([]*change, 0, len(ids))
	for i, id := range ids {
		field := fmt.Sprintf("run_ids[%d]", i)
		c := &change{requestedID: id}
		c.Run, c.err = s.resolver.Run(ctx, viewer, field, id)
		if _, unknown := errors.AsType[*fleet.UnknownError](c.err); unknown && !target.IsResourceName(id) {
			return nil, c.err
		}
		if c.err == nil {
			c.err = checkSDKForm(field, c.RunID)
		}
		out = append(out, c)
	}
	return out, nil
}

// applyPerViewer applies a change to the runs of each Viewer, concurrently. Apply sets
// the outcome of each run. An error of apply applies to all runs of that Viewer, and
// fails the call if no Viewer answered.
func applyPerViewer(ctx context.Context, changes []*change, apply func(context.Context, *fleet.Viewer, []*change) error) error {
	groups := make(map[*fleet.Viewer][]*change)
	for _, c := range changes {
		if c.err == nil {
			groups[c.Viewer] = append(groups[c.Viewer], c)
		}
	}
	errs := make(chan error, len(groups))
	var wg sync.WaitGroup
	for v, group := range groups {
		wg.Go(func() {
			err := apply(ctx, v, group)
			if err != nil {
				setErrors(group, err)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	var first error
	for err := range errs {
		if err == nil {
			return nil
		}
		first = err
	}
	return first
}

// runIDs returns the ids of changes without duplicates: the same run may be named by its
// id and by its resource name.
func runIDs(group []*change) []string {
	ids := make([]string, 0, len(group))
	for _, c := range group {
		if !slices.Contains(ids, c.RunID) {
			ids = append(ids, c.RunID)
		}
	}
	return ids
}

// batchCall is a restclient method that changes several runs.
type batchCall func(*restclient.Client, context.Context, []string) (*restclient.BatchResult, error)

// applyBatch moves experiments into or out of the recycle bin.
func (s *Service) applyBatch(ctx context.Context, viewer string, ids []string, call batchCall) ([]*runicornapiv1.ExperimentResult, error) {
	changes, err := s.parseChanges(ctx, viewer, ids)
	if err != nil {
		return nil, err
	}
	err = applyPerViewer(ctx, changes, func(ctx context.Context, v *fleet.Viewer, group []*change) error {
		result, err := call(v.Client, ctx, runIDs(group))
		if err != nil {
			return err
		}
		for _, c := range group {
			item, answered := result.Results[c.RunID]
			switch {
			case !answered:
				c.err = missingOutcome(v.Name)
			case !item.Success:
				c.err = v.Client.ItemError(c.RunID, item.Error.Value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	results := make([]*runicornapiv1.ExperimentResult, 0, len(changes))
	for _, c := range changes {
		results = append(results, resultOf(ctx, c))
	}
	return results, nil
}

// resultOf is the result of one experiment.
func resultOf(ctx context.Context, c *change) *runicornapiv1.ExperimentResult {
	out := &runicornapiv1.ExperimentResult{RunId: convert.Text(c.requestedID)}
	if c.Viewer != nil {
		out.Viewer = c.Name
	}
	if c.err != nil {
		out.Error = errmap.Status(ctx, c.err).Proto()
	}
	return out
}

// missingOutcome is the error of a run that the response to a batch does not mention.
func missingOutcome(viewer string) error {
	return &restclient.Error{Kind: restclient.KindMalformed, Viewer: viewer, Detail: "the answer does not have the outcome for this run"}
}
