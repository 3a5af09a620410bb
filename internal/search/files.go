package search

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// readTimes reads the status file, and if that has no start time, the run's details on 0.7.
func (r *runReader) readTimes(ctx context.Context) error {
	r.record.Start, r.record.End, r.record.Running = time.Time{}, time.Time{}, false
	doc, err := r.run.Viewer.Client.StatusFile(ctx, r.run.Listed.ID)
	status, err := fileOf(doc, err)
	if err != nil {
		return r.wrapError(err, "status")
	}
	if status != nil {
		r.setTimes(doc)
	}
	if caps, err := r.run.Viewer.Client.Capabilities(ctx); err != nil || !r.record.Start.IsZero() || !caps.Has(restclient.CapFiles) {
		return err
	}
	detail, err := r.run.Viewer.Client.GetRun(ctx, r.run.Listed.ID)
	if err != nil {
		return r.wrapError(err, "detail")
	}
	r.record.Start = detail.StartTime.Time
	return nil
}

// setTimes sets the times from a status file.
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
		return r.wrapError(err, "summary")
	}
	return r.setDocument(&r.record.summary, *values, "summary")
}

// readConfig reads the configuration.
func (r *runReader) readConfig(ctx context.Context) error {
	assets, err := r.run.Viewer.Client.Assets(ctx, r.run.Listed.ID)
	if restclient.IsKind(err, restclient.KindUnsupported) {
		r.record.config = nil
		return nil
	}
	if err != nil {
		return r.wrapError(err, "configuration")
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

// wrapError wraps the error of reading a file. If the run does not exist any more, it returns
// the NOT_FOUND error of the run.
func (r *runReader) wrapError(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRunGone), restclient.IsKind(err, restclient.KindNotFound):
		return r.src.NotFoundError()
	}
	return fmt.Errorf("read the %s: %w", what, err)
}

// errRunGone means that the run of a file does not exist any more.
var errRunGone = errors.New("the run no longer exists")

// fileOf returns the content of a small file; nil if the run has no such file, or the Viewer
// does not serve it.
func fileOf[T any](doc *restclient.Document[T], err error) (*T, error) {
	switch {
	case restclient.IsKind(err, restclient.KindUnsupported):
		return nil, nil //nolint:nilnil // the Viewer does not serve the file
	case err != nil:
		return nil, err
	case doc.State == restclient.RunGone:
		return nil, errRunGone
	case doc.State != restclient.FileWhole:
		return nil, nil //nolint:nilnil // the run has no such file
	}
	return &doc.Value, nil
}
