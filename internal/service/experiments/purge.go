package experiments

import (
	"context"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// purgeBinHint is what a caller can request from a Viewer of 0.5, which cannot purge
// single runs.
const purgeBinHint = "purge all_deleted, or exactly the runs that are in the recycle bin"

// purge removes experiments permanently, or reports what would be removed.
func (s *Service) purge(ctx context.Context, req *runicornapiv1.PurgeExperimentsRequest) ([]*runicornapiv1.ExperimentResult, error) {
	read := s.parseChanges
	if req.GetAllDeleted() {
		read = func(ctx context.Context, viewer string, _ []string) ([]*change, error) {
			return s.allDeleted(ctx, viewer)
		}
	}
	changes, err := read(ctx, req.GetViewer(), req.GetRunIds())
	if err != nil {
		return nil, err
	}
	p := purger{all: req.GetAllDeleted(), validateOnly: req.GetValidateOnly()}
	if err := applyPerViewer(ctx, changes, p.apply); err != nil {
		return nil, err
	}
	results := make([]*runicornapiv1.ExperimentResult, 0, len(changes))
	for _, c := range changes {
		result := resultOf(ctx, c)
		if c.purged != nil {
			result.FreedBytes, result.DeletedBlobCount = convert.Int64(c.purged.BytesFreed), convert.Int32(c.purged.BlobsDeleted)
		}
		results = append(results, result)
	}
	return results, nil
}

// allDeleted returns a change for each run in the recycle bin of one Viewer.
func (s *Service) allDeleted(ctx context.Context, viewer string) ([]*change, error) {
	v, err := s.config.Fleet.Get(ctx, viewer)
	if err != nil {
		return nil, err
	}
	bin, err := v.Client.RecycleBin(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*change, 0, len(bin))
	for _, run := range bin {
		out = append(out, &change{Run: target.Run{Viewer: v, RunID: run.ID}, requestedID: run.ID})
	}
	return out, nil
}

// purger is a parsed purge request.
type purger struct {
	all, validateOnly bool
}

// apply purges runs of one Viewer: one by one, or by emptying the bin if the Viewer
// supports only that.
func (p purger) apply(ctx context.Context, v *fleet.Viewer, group []*change) error {
	caps, err := v.Client.Capabilities(ctx)
	if err != nil {
		return err
	}
	if !caps.Has(restclient.CapPurgeBatch) {
		return p.purgeBin(ctx, v, group, caps)
	}
	// Runs with ids of another form get into a bin only with the deletion of a whole
	// folder.
	odd := slices.DeleteFunc(slices.Clone(group), func(c *change) bool { return sdkForm.MatchString(c.RunID) })
	single := slices.DeleteFunc(slices.Clone(group), func(c *change) bool { return !sdkForm.MatchString(c.RunID) })
	if err := p.purgeEach(ctx, v, single); err != nil {
		return err
	}
	if len(odd) > 0 && !p.validateOnly {
		if err := emptyBin(ctx, v, odd); err != nil {
			setErrors(odd, err)
		}
	}
	return nil
}

// purgeEach purges runs in batches of the size that the Viewer accepts. The outcomes of
// earlier batches are kept when a later one fails.
func (p purger) purgeEach(ctx context.Context, v *fleet.Viewer, group []*change) error {
	for ids := range slices.Chunk(runIDs(group), restclient.MaxPurge) {
		chunk := slices.DeleteFunc(slices.Clone(group), func(c *change) bool { return !slices.Contains(ids, c.RunID) })
		outcomes, err := v.Client.PurgeBatch(ctx, ids, p.validateOnly)
		if err != nil && len(ids) == len(runIDs(group)) {
			return err
		}
		for _, c := range chunk {
			outcome, answered := outcomes[c.RunID]
			switch {
			case err != nil:
				c.err = err
			case !answered:
				c.err = missingOutcome(v.Name)
			case !outcome.Success:
				reasons := slices.Concat(outcome.Errors, outcome.PartialFailures, restclient.Texts{""}) // it may have none
				c.err = v.Client.ItemError(c.RunID, reasons[0])
			default:
				c.purged = &outcome
			}
		}
	}
	return nil
}

// purgeBin empties the bin of a Viewer that cannot purge single runs, but only if the bin
// has exactly the named runs, so that no other run is lost. A run that is deleted between
// the check and the emptying is lost nevertheless; the Viewer offers no way to prevent
// that.
func (p purger) purgeBin(ctx context.Context, v *fleet.Viewer, group []*change, caps *restclient.Capabilities) error {
	if !p.all {
		bin, err := v.Client.RecycleBin(ctx)
		if err != nil {
			return err
		}
		if !sameRuns(bin, runIDs(group)) {
			setErrors(group, unsupportedError(v.Name, caps, restclient.CapPurgeBatch, purgeBinHint))
			return nil
		}
	}
	if p.validateOnly {
		return nil
	}
	return emptyBin(ctx, v, group)
}

// sameRuns reports whether a bin holds exactly the runs of ids.
func sameRuns(bin []restclient.DeletedRun, ids []string) bool {
	inBin := make([]string, 0, len(bin))
	for _, run := range bin {
		inBin = append(inBin, run.ID)
	}
	slices.Sort(inBin)
	return slices.Equal(slices.Compact(inBin), slices.Sorted(slices.Values(ids)))
}

// setErrors sets the same error for every run of a group.
func setErrors(group []*change, err error) {
	for _, c := range group {
		c.err = err
	}
}

// emptyBin empties a bin. The Viewer reports only how many runs it deleted, so if that is
// not all, emptyBin checks which ones are left.
func emptyBin(ctx context.Context, v *fleet.Viewer, group []*change) error {
	deleted, err := v.Client.EmptyBin(ctx)
	if err != nil || deleted >= int64(len(runIDs(group))) {
		return err
	}
	left, err := v.Client.RecycleBin(ctx)
	if err != nil {
		return err
	}
	for _, c := range group {
		if slices.ContainsFunc(left, func(run restclient.DeletedRun) bool { return run.ID == c.RunID }) {
			c.err = v.Client.ItemError(c.RunID, "the run is still in the recycle bin")
		}
	}
	return nil
}
