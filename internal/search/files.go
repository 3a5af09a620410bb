package search

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// readTimes reads the status file, and what 0.7 says in the detail where it has no start.
func (r *runReader) readTimes(ctx context.Context) error {
	r.record.Start, r.record.End, r.record.Running = time.Time{}, time.Time{}, false
	doc, err := r.run.Viewer.Client.StatusFile(ctx, r.run.Listed.ID)
	status, err := fileOf(doc, err)
	if err != nil {
		return r.gone(err, "status")
	}
	if status != nil {
		r.setTimes(doc)
	}
	if caps, err := r.run.Viewer.Client.Capabilities(ctx); err != nil || !r.record.Start.IsZero() || !caps.Has(restclient.CapFiles) {
		return err
	}
	detail, err := r.run.Viewer.Client.GetRun(ctx, r.run.Listed.ID)
	if err != nil {
		return r.gone(err, "detail")
	}
	r.record.Start = detail.StartTime.Time
	return nil
}

// setTimes takes the times of a status file.
func (r *runReader) setTimes(doc *restclient.Document[restclient.StatusDocument]) {
	r.run.Viewer.Client.KnowStatus(r.run.Listed, doc)
	status := &doc.Value
	r.record.Start = status.StartTime.Time
	r.record.Running = status.Status.Known && !runsource.IsTerminal(status.Status)
	if r.record.End = status.EndTime.Time; r.record.Running {
		r.record.End = time.Time{}
	}
}

func (r *runReader) readSummary(ctx context.Context) error {
	values, err := fileOf(r.run.Viewer.Client.SummaryFile(ctx, r.run.Listed.ID))
	if err != nil || values == nil {
		r.record.summary = nil
		return r.gone(err, "summary")
	}
	return r.setDocument(&r.record.summary, *values, "summary")
}

// readConfig reads the configuration: the arguments, then what was added to them, and
// both by their full names.
func (r *runReader) readConfig(ctx context.Context) error {
	assets, err := r.run.Viewer.Client.Assets(ctx, r.run.Listed.ID)
	if isUnsupported(err) {
		r.record.config = nil
		return nil
	}
	if err != nil {
		return r.gone(err, "configuration")
	}
	values := restclient.Values{}
	for i := range assets.Assets {
		if assets.Assets[i].Kind == restclient.AssetConfig {
			values = configOf(assets.Assets[i].Values)
		}
	}
	return r.setDocument(&r.record.config, values, "configuration")
}

func (r *runReader) setDocument(into *document, values restclient.Values, what string) (err error) {
	if *into, err = newDocument(values, r.names); err != nil {
		return fmt.Errorf("the %s is %w", what, err)
	}
	return nil
}

// gone marks the error of a run that is not there any more.
func (r *runReader) gone(err error, what string) error {
	switch e, ok := errors.AsType[*restclient.Error](err); {
	case err == nil:
		return nil
	case errors.Is(err, errRunGone), ok && e.Kind == restclient.KindNotFound:
		return r.src.NotFoundError()
	}
	return fmt.Errorf("read the %s: %w", what, err)
}

// errRunGone says that a file belongs to no run any more.
var errRunGone = errors.New("the run is gone")

// fileOf returns the content of a small file, nil where the run or the Viewer has none.
func fileOf[T any](doc *restclient.Document[T], err error) (*T, error) {
	switch {
	case isUnsupported(err):
		return nil, nil //nolint:nilnil // that a Viewer has no such file is no error
	case err != nil:
		return nil, err
	case doc.State == restclient.RunGone:
		return nil, errRunGone
	case doc.State != restclient.FileWhole:
		return nil, nil //nolint:nilnil // no such file is no error
	}
	return &doc.Value, nil
}

func isUnsupported(err error) bool {
	e, ok := errors.AsType[*restclient.Error](err)
	return ok && e.Kind == restclient.KindUnsupported
}
