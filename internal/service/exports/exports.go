// Package exports serves ExportExperiment: files made of experiments.
package exports

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// exportStream is the stream to the client of an export.
type exportStream = grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]

// Config holds what exports depend on.
type Config struct {
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runcache.Cache
	// Index answers the parts of filters that lists do not have.
	Index *search.Index
	// CPUGate bounds the computing of exports and histories.
	CPUGate *cpugate.Gate
	// TempBytes is the maximum total size of the temporary files of all exports; 2 GiB if
	// 0.
	TempBytes int64
	// Stall is how long a client may leave a message unread; filestream.StallTimeout
	// if 0.
	Stall time.Duration
}

// Service serves ExportExperiment.
type Service struct {
	config   Config
	resolver target.Resolver
	selector runs.Selector
	reader   source.Reader
	making   *semaphore.Weighted // of exports of merged tables
	kept     *keptFiles
	space    *tempSpace
}

// New returns the service.
func New(c Config) *Service {
	c.Stall = cmp.Or(c.Stall, filestream.StallTimeout)
	kept, resolver := newKeptFiles(), target.Resolver{Fleet: c.Fleet}
	return &Service{
		config: c, resolver: resolver, selector: runs.Selector{Resolver: resolver, Index: c.Index}, reader: source.Reader{Cache: c.Cache},
		making: semaphore.NewWeighted(maxMergedExports), kept: kept,
		space: &tempSpace{free: semaphore.NewWeighted(cmp.Or(c.TempBytes, defaultTempBytes)), freeSpace: kept.freeSpace},
	}
}

// ExportExperiment sends experiments as one file.
func (s *Service) ExportExperiment(req *runicornapiv1.ExportExperimentRequest, stream exportStream) error {
	ctx := stream.Context()
	j, err := s.newExport(ctx, req)
	if err != nil {
		return err
	}
	if err := j.describe(ctx); err != nil {
		return err
	}
	to := filestream.New(stream, s.config.Stall)
	if req.GetIfMatch() != "" || j.spooled() != nil {
		if sent, err := j.sendMade(ctx, req, to); sent {
			return err
		}
	}
	return j.send(ctx, to)
}

// exportFormats are the formats of the contract.
var exportFormats = map[runicornapiv1.ExportFormat]export.Format{
	runicornapiv1.ExportFormat_EXPORT_FORMAT_UNSPECIFIED: export.JSON,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON:        export.JSON,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV:         export.CSV,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL:       export.JSONLines,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW:       export.Arrow,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET:     export.Parquet,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP:         export.ZIP,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_MARKDOWN:    export.Markdown,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_HTML:        export.HTML,
	runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW_FILE:  export.ArrowFile,
}

// exporter makes the file of one call. It belongs to the goroutine of the call.
type exporter struct {
	service   *Service
	targets   []target.Run
	runs      []*export.Run // of the targets, in their order
	etags     []string      // of their experiments
	format    export.Format
	layout    export.Layout
	selection eventlog.Selection
	withMedia bool
	// merged is set if a Viewer serves no event files, so that the points of its runs
	// come from a merged table.
	merged  bool
	missing []string // files that the Viewers have lost
	// limitations are the deficiencies of the file that become known only while it is
	// made.
	limitations []string
	// modified is the time of the latest change of the runs if that is known, else the
	// time of the call.
	modified time.Time
}

// newExport parses the request. A run that is named twice is exported once.
func (s *Service) newExport(ctx context.Context, req *runicornapiv1.ExportExperimentRequest) (*exporter, error) {
	j := &exporter{
		service: s, format: exportFormats[req.GetFormat()], layout: export.Wide,
		selection: convert.Selection(req), withMedia: req.GetIncludeMedia(),
	}
	if req.GetLayout() == runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG {
		j.layout = export.Long
	}
	var requested []target.Run
	if req.GetRunId() != "" {
		t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
		if err != nil {
			return nil, err
		}
		requested = append(requested, t)
	}
	more, err := s.resolver.Runs(ctx, req.GetViewer(), req.GetRunIds())
	if err == nil && req.GetFilter() != "" {
		more, err = s.matching(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	j.targets = target.Unique(append(requested, more...))
	return j, nil
}

// maxExported is the maximum number of experiments in one file; the request message has
// the same limit.
const maxExported = 100

// matching returns the experiments that match the filter, newest first. If a Viewer does
// not answer, the export fails: the file would not show what it lacks.
func (s *Service) matching(ctx context.Context, req *runicornapiv1.ExportExperimentRequest) ([]target.Run, error) {
	matcher, err := runs.NewMatcher(req.GetFilter())
	if err != nil {
		return nil, err
	}
	found, err := s.selector.Select(ctx, runs.Query{Viewer: req.GetViewer(), Filter: matcher})
	switch {
	case err != nil:
		return nil, err
	case len(found.Unreachable) > 0:
		return nil, status.FromProto(found.Unreachable[0].GetError()).Err()
	case len(found.NotRead) > 0:
		return nil, status.FromProto(found.NotRead[0].GetError()).Err()
	case len(found.Entries) == 0:
		return nil, apierr.Invalid("filter", "matches no experiment")
	case len(found.Entries) > maxExported:
		return nil, apierr.OverLimit("experiments of one export",
			"the filter matches %d experiments, and one file holds at most %d: narrow it", len(found.Entries), maxExported)
	}
	slices.SortStableFunc(found.Entries, runs.NewestFirst)
	targets := make([]target.Run, 0, len(found.Entries))
	for i := range found.Entries {
		targets = append(targets, found.Entries[i].Target())
	}
	return targets, nil
}

// spooled returns the function that writes the file into a spool. Formats that read
// merged tables are spooled: a table is locked while it is read, and must not wait for a
// slow client. It is nil for the other formats.
func (j *exporter) spooled() func(context.Context, *spool) (*export.Schema, error) {
	switch j.format {
	case export.ZIP, export.HTML, export.Markdown:
		return nil
	case export.JSON:
		return j.writeDocument
	}
	switch {
	case j.format != export.JSONLines && j.layout == export.Wide:
		return j.writeWide
	case j.merged:
		return j.writeMergedPoints
	}
	return nil
}

// send makes the file and sends it while it is made.
func (j *exporter) send(ctx context.Context, to fileSink) error {
	switch j.format {
	case export.ZIP:
		return j.sendZip(ctx, to)
	case export.HTML, export.Markdown:
		return j.sendReport(ctx, to)
	}
	return j.sendPoints(ctx, to)
}

// compute returns the function that runs steps of computing that do not write to a
// client.
func (j *exporter) compute(ctx context.Context) export.Compute {
	return func(work func() error) error { return j.service.config.CPUGate.Do(ctx, work) }
}

// newOutbox returns the outbox of a file that is sent while it is made.
func (j *exporter) newOutbox(ctx context.Context, to fileSink) *outbox {
	return &outbox{ctx: ctx, gate: j.service.config.CPUGate, to: to}
}

// header describes the file. Schema is that of a wide table, else nil.
func (j *exporter) header(schema *export.Schema) *runicornapiv1.FileHeader {
	h := &runicornapiv1.FileHeader{
		FileName: convert.Text(j.format.FileName(j.runs)), ContentType: j.format.ContentType(),
		Limitations: append(export.Limitations(j.format, j.layout, j.runs, schema), j.limitations...),
	}
	if j.withMedia && j.merged {
		h.Limitations = append(h.Limitations, "A Viewer of 0.5 serves no images.")
	}
	return h
}

// sendPoints streams points or events in the order of logging.
func (j *exporter) sendPoints(ctx context.Context, to fileSink) error {
	to.Begin(j.header(nil))
	out := j.newOutbox(ctx, to)
	points, err := export.NewPoints(j.format, out, len(j.runs) > 1, j.selection)
	if err != nil {
		return err
	}
	for i, t := range j.targets {
		run := j.runs[i]
		err := j.readEvents(ctx, t, out.compute, eventlog.Handler{
			Row: func(row *eventlog.Row) error {
				if out.full() {
					return source.ErrPieceDone
				}
				return points.WriteRow(run, row)
			},
			Media: func(m *eventlog.Media) error {
				if out.full() {
					return source.ErrPieceDone
				}
				return points.WriteMedia(run, m)
			},
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(out.compute(points.Close), to.Finish(j.missing, j.limitations))
}
