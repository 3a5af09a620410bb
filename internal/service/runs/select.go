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

// Selector selects runs by their lists and the search index.
type Selector struct {
	Resolver target.Resolver
	Index    *search.Index
}

// Query is what a request selects, and what it needs of the runs.
type Query struct {
	// Viewer is the viewer field of the request: a name, or target.AllViewers.
	Viewer string
	// Filter selects runs; nil selects all.
	Filter *filter.Filter[*Entry]
	// Order, if not nil, is the order in which the caller will sort the runs.
	Order *filter.Order[*Entry]
	// AllowPartial makes Select not wait for what has not been read yet.
	AllowPartial bool
}

// Select returns the runs of a query. A run that the filter cannot decide because data
// could not be read is not selected, but is in NotRead. A run for which only the order
// needs that data is both selected and in NotRead.
func (s Selector) Select(ctx context.Context, q Query) (*Filtered, error) {
	found, err := Filter(ctx, s.Resolver, q.Viewer, q.Filter)
	if err != nil {
		return nil, err
	}
	mode := ModeOf(q.AllowPartial)
	if q.Filter != nil {
		if parts := PartsOf(q.Filter.Needs()); parts != 0 {
			if err := s.Attach(ctx, found, found.Pointers(), parts, mode); err != nil {
				return nil, err
			}
			found.keep(q.Filter)
		}
	}
	if q.Order == nil {
		return found, nil
	}
	return found, s.Attach(ctx, found, found.Pointers(), PartsOf(q.Order.Needs()), mode)
}

// keep removes the entries that a filter does not select, and those that it cannot decide
// because they have no record.
func (f *Filtered) keep(matcher *filter.Filter[*Entry]) {
	selected := f.Entries[:0]
	for i := range f.Entries {
		switch e := &f.Entries[i]; {
		case e.Record == nil:
			f.undecided = true
		case matcher.Match(e):
			selected = append(selected, *e)
		}
	}
	f.Entries = selected
}

// Attach sets the records of entries, with at least these parts. Those that could not be
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

// ModeOf returns the lookup mode for a request's allow_partial.
func ModeOf(allowPartial bool) search.Mode {
	if allowPartial {
		return search.Known
	}
	return search.Wait
}

// MaxNotRead is the maximum number of unreadable runs that a response names.
const MaxNotRead = 1000

// AddNotRead adds a run that could not be read, unless it was added before.
func (f *Filtered) AddNotRead(ctx context.Context, e *Entry, err error) {
	isPending := errors.Is(err, search.ErrNotYet) || errors.Is(err, context.DeadlineExceeded)
	if errors.Is(err, search.ErrNotYet) {
		err = &apierr.Error{
			Code: codes.Unavailable, Reason: runicornapiv1.ErrorReason_ERROR_REASON_NOT_READ_YET, Cause: err,
			Message: "the run has not been read yet: repeat the call, or leave out allow_partial", Metadata: map[string]string{"viewer": e.Viewer.Name},
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

// Complete reports whether nothing is missing.
func (f *Filtered) Complete() bool { return len(f.Unreachable) == 0 && len(f.NotRead) == 0 }

// TotalSize returns the number of selected runs, nil if a Viewer did not answer or the
// filter could not be applied to a run.
func (f *Filtered) TotalSize() *int32 {
	if f.undecided {
		return nil
	}
	return target.TotalSize(len(f.Entries), f.Unreachable)
}

// NotReadCount returns the number of runs that could not be read.
func (f *Filtered) NotReadCount() int32 { return convert.Clamp32(int64(len(f.noted))) }

// Pointers returns pointers to the entries.
func (f *Filtered) Pointers() []*Entry {
	out := make([]*Entry, len(f.Entries))
	for i := range f.Entries {
		out[i] = &f.Entries[i]
	}
	return out
}

// PartsOf returns what a filter or an order needs of runs beyond their lists.
func PartsOf(needs filter.Needs) search.Parts {
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
