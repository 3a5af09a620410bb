package runs

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Selector selects runs by what their lists and the search index know.
type Selector struct {
	Resolver target.Resolver
	Index    *search.Index
}

// Query says which runs a request selects, and what of them it needs.
type Query struct {
	// Viewer is the request's: a name, or all.
	Viewer string
	// Filter selects runs; nil selects all.
	Filter *filter.Filter[*Entry]
	// Order, where not nil, is an order that the caller will put them in.
	Order *filter.Order[*Entry]
	// Parts is what the caller needs of all selected runs besides.
	Parts search.Parts
	// AllowPartial does not wait for what is not known yet.
	AllowPartial bool
}

// Select finds the runs of a query. Runs of which the filter needs what could not be
// read are not selected: they are in NotRead. Those of which only the order or the
// caller needs it are both.
func (s Selector) Select(ctx context.Context, q Query) (*Filtered, error) {
	found, err := Filter(ctx, s.Resolver, q.Viewer, q.Filter)
	if err != nil {
		return nil, err
	}
	if q.Filter != nil {
		if parts := partsOf(q.Filter.Needs()); parts != 0 {
			found.Entries, err = s.Match(ctx, found, q.Filter, q.AllowPartial)
			if err != nil {
				return nil, err
			}
		}
	}
	parts := q.Parts
	if q.Order != nil {
		parts |= partsOf(q.Order.Needs())
	}
	return found, s.Attach(ctx, found, pointers(found.Entries), parts, ModeOf(q.AllowPartial))
}

// Match returns the entries that a filter selects, of those that it may select. Entries
// of which it needs what could not be read go to NotRead.
func (s Selector) Match(ctx context.Context, found *Filtered, f *filter.Filter[*Entry], allowPartial bool) ([]Entry, error) {
	parts := partsOf(f.Needs())
	if err := s.Attach(ctx, found, pointers(found.Entries), parts, ModeOf(allowPartial)); err != nil {
		return nil, err
	}
	selected := found.Entries[:0]
	for i := range found.Entries {
		e := &found.Entries[i]
		isUnread := parts != 0 && e.Record == nil
		found.undecided = found.undecided || isUnread
		if !isUnread && f.Match(e) {
			selected = append(selected, *e)
		}
	}
	return selected, nil
}

// Attach gives entries their records, with at least these parts. Those that could not be
// read have none, and are added to NotRead once.
func (s Selector) Attach(ctx context.Context, found *Filtered, entries []*Entry, parts search.Parts, mode search.Mode) error {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e *Entry) bool { return e.Record.Has(parts) })
	if parts == 0 || len(entries) == 0 {
		return nil
	}
	runs, now := make([]search.Run, len(entries)), time.Now()
	for i, e := range entries {
		runs[i] = search.Run{Viewer: e.Viewer, Listed: e.Run}
	}
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	res, err := s.Index.Lookup(early, runs, parts, mode)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	for i, e := range entries {
		e.Record, e.now = res.Records[i], now
		if res.Errs[i] != nil {
			found.AddNotRead(ctx, e, res.Errs[i])
		}
	}
	if !res.Oldest.IsZero() && (found.OldestDigest.IsZero() || res.Oldest.Before(found.OldestDigest)) {
		found.OldestDigest = res.Oldest
	}
	return nil
}

// ModeOf is how a request with this allow_partial looks runs up.
func ModeOf(allowPartial bool) search.Mode {
	if allowPartial {
		return search.Known
	}
	return search.Wait
}

// MaxNotRead is how many runs an answer names that could not be read.
const MaxNotRead = 1000

// AddNotRead adds a run that could not be read, once.
func (f *Filtered) AddNotRead(ctx context.Context, e *Entry, err error) {
	isPending := errors.Is(err, search.ErrNotYet) || errors.Is(err, context.DeadlineExceeded)
	if errors.Is(err, search.ErrNotYet) {
		err = &apierr.Error{
			Code: codes.Unavailable, Reason: runicornapiv1.ErrorReason_ERROR_REASON_NOT_READ_YET, Cause: err,
			Message: "the run has not been read yet: ask again, or without allow_partial", Metadata: map[string]string{"viewer": e.Viewer.Name},
		}
	}
	if search.IsTooLarge(err) {
		err = apierr.OverLimit("what is held of one run", "%v", err)
	}
	key := e.Target().ResourceName()
	if f.noted[key] {
		return
	}
	if f.noted == nil {
		f.noted = map[string]bool{}
	}
	f.noted[key] = true
	if isPending {
		f.Pending++
	}
	if len(f.NotRead) == MaxNotRead {
		return
	}
	f.NotRead = append(f.NotRead, &runicornapiv1.ExperimentResult{
		Viewer: e.Viewer.Name, RunId: convert.Text(e.Run.ID), Error: errmap.Status(ctx, target.TimeoutError(ctx, e.Viewer.Name, err)).Proto(),
	})
}

// Complete says that nothing is missing.
func (f *Filtered) Complete() bool { return len(f.Unreachable) == 0 && len(f.NotRead) == 0 }

// TotalSize is the number of selected runs; it is not known where a Viewer did not answer
// or the filter could not be applied to a run.
func (f *Filtered) TotalSize() *int32 {
	if f.undecided {
		return nil
	}
	return target.TotalSize(len(f.Entries), f.Unreachable)
}

// NotReadCount is the number of runs that could not be read.
func (f *Filtered) NotReadCount() int32 { return convert.Clamp32(int64(len(f.noted))) }

func pointers(entries []Entry) []*Entry {
	out := make([]*Entry, len(entries))
	for i := range entries {
		out[i] = &entries[i]
	}
	return out
}

// AttachMetrics gives entries the metrics that a request wants with them.
func (s Selector) AttachMetrics(ctx context.Context, found *Filtered, entries []*Entry, names []string, allowPartial bool) error {
	if len(names) == 0 {
		return nil
	}
	return s.Attach(ctx, found, entries, search.PartMetrics, ModeOf(allowPartial))
}

// PartsOf says what a filter needs of runs beyond their lists.
func PartsOf(f *filter.Filter[*Entry]) search.Parts { return partsOf(f.Needs()) }

// partsOf says what of runs a filter or an order reads.
func partsOf(needs filter.Needs) search.Parts {
	var parts search.Parts
	for _, field := range needs.Fields {
		if entryFields.Fields[field].Late {
			parts |= search.PartTimes
		}
	}
	for family, part := range map[string]search.Parts{
		"metrics": search.PartMetrics, "summary": search.PartSummary, "config": search.PartConfig,
	} {
		if len(needs.Keys[family]) > 0 {
			parts |= part
		}
	}
	return parts
}
