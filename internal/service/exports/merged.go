package exports

import (
	"context"
	"errors"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// maxWideAttempts is how often a wide table is begun. It has to be begun again if a live
// run has gained a column.
const maxWideAttempts = 3

// writeWide writes a wide table: the columns of all runs, then the rows.
func (j *exporter) writeWide(ctx context.Context, out *spool) (*export.Schema, error) {
	for attempt := 1; ; attempt++ {
		schema, err := j.tryWide(ctx, out)
		if !errors.Is(err, export.ErrSchemaChanged) || attempt == maxWideAttempts {
			return schema, err
		}
		if err := out.reset(); err != nil {
			return nil, err
		}
	}
}

func (j *exporter) tryWide(ctx context.Context, out *spool) (*export.Schema, error) {
	schema := export.NewSchema(len(j.runs) > 1)
	err := j.eachRun(ctx, func(_ *export.Run, v *runcache.View) error {
		return j.compute(ctx)(func() error {
			schema.Add(v.Table, j.selection)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if sparse, ok := errors.AsType[*export.SparseError](schema.CheckSize()); ok {
		return nil, apierr.OverLimit("cells of a wide table", "%v: use the long layout, or select fewer metrics", sparse)
	}
	file, err := export.NewWide(j.format, out, schema, j.compute(ctx))
	if err != nil {
		return nil, err
	}
	err = j.eachRun(ctx, func(run *export.Run, v *runcache.View) error {
		return file.WriteRun(run, v.Table, j.selection)
	})
	return schema, errors.Join(err, file.Close())
}

// writeMergedPoints writes the long layout or JSON Lines for runs of Viewers without
// event files.
func (j *exporter) writeMergedPoints(ctx context.Context, out *spool) (*export.Schema, error) {
	points, err := export.NewPoints(j.format, out, len(j.runs) > 1, j.selection)
	if err != nil {
		return nil, err
	}
	err = j.eachRun(ctx, func(run *export.Run, v *runcache.View) error {
		return points.WriteTable(run, v.Table, j.compute(ctx))
	})
	return nil, errors.Join(err, j.compute(ctx)(points.Close))
}

// writeDocument writes the JSON document.
func (j *exporter) writeDocument(ctx context.Context, out *spool) (*export.Schema, error) {
	doc, err := export.NewDocument(out, j.compute(ctx))
	if err != nil {
		return nil, err
	}
	for i, t := range j.targets {
		run := j.runs[i]
		images, err := j.images(ctx, t)
		if err != nil {
			return nil, err
		}
		err = doc.WriteRun(run, func(doc *export.Document) error {
			return j.withRun(ctx, t, func(v *runcache.View) error {
				run.Merged = v.Origin == runsource.FromMergedTable
				counts := export.Counts{MalformedLines: v.MalformedLines, LinesWithoutStep: v.LinesWithoutStep, Limitations: v.Limitations()}
				return doc.WriteSeries(run, v.Table, counts, j.selection)
			})
		}, images)
		if err != nil {
			return nil, err
		}
	}
	return nil, doc.Close()
}

// eachRun reads the runs one after the other.
func (j *exporter) eachRun(ctx context.Context, use func(*export.Run, *runcache.View) error) error {
	for i, t := range j.targets {
		err := j.withRun(ctx, t, func(v *runcache.View) error {
			j.runs[i].Merged = v.Origin == runsource.FromMergedTable
			return use(j.runs[i], v)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withRun reads a run and calls use. The run is locked meanwhile. Lock order: use enters
// the CPU gate while it holds the lock; the lock is never awaited inside the gate.
func (j *exporter) withRun(ctx context.Context, t target.Run, use func(*runcache.View) error) error {
	return j.service.reader.Read(ctx, t, func(v *runcache.View) error {
		j.recordLimitations(t, v.Limitations())
		return use(v)
	})
}

// sendReport copies downsampled series of all runs, then writes them without a lock on
// any run.
func (j *exporter) sendReport(ctx context.Context, to fileSink) error {
	out := j.newOutbox(ctx, to)
	report := export.NewReport(len(j.runs), out.compute)
	err := j.service.makeMerged(func() error {
		return j.eachRun(ctx, func(run *export.Run, v *runcache.View) error {
			return j.compute(ctx)(func() error {
				report.AddRun(run, v.Table, j.selection)
				return nil
			})
		})
	})
	if err != nil {
		return err
	}
	for i, t := range j.targets {
		images, err := j.images(ctx, t)
		if err != nil {
			return err
		}
		report.AddImages(j.runs[i], images)
	}
	header := j.header(nil)
	header.Limitations = append(header.Limitations, report.Limitations()...)
	to.Begin(header)
	write := report.WriteHTML
	if j.format == export.Markdown {
		write = report.WriteMarkdown
	}
	if err := write(out, header.GetLimitations()); err != nil {
		return err
	}
	return to.Finish(j.missing, j.limitations)
}
