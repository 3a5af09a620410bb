package restclient

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxEnded is the maximum number of ended runs whose status is cached.
const maxEnded = 20_000

// maxDocument is the maximum size of a run's small JSON files in bytes.
const maxDocument = 16 << 20

// StatusDocument is a run's status.json. It is authoritative for the state of a run: the
// list of 0.7.2 still says finished after a run was reopened.
type StatusDocument struct {
	Status     Text `json:"status"`
	StartTime  Time `json:"started_at"`
	EndTime    Time `json:"ended_at"`
	ExitReason Text `json:"exit_reason"`
}

// Document is one of a run's small JSON files. It is shared and must not be changed.
type Document[T any] struct {
	TextQuality
	// State is FileWhole, FileAbsent or RunGone.
	State FileState
	// Value is set only if State is FileWhole.
	Value T
}

// StatusFile reads the status.json of a run, from 0.6 on.
func (c *Client) StatusFile(ctx context.Context, runID string) (*Document[StatusDocument], error) {
	return readDocument[StatusDocument](ctx, c, runID, FileStatus)
}

// ListedStatus reads the status.json of a listed run. On 0.6 a request about one run makes
// the Viewer scan all runs, and the list is as accurate as the file: there the file of an
// ended run is read once, until the list shows a change.
func (c *Client) ListedStatus(ctx context.Context, run *Run) (*Document[StatusDocument], error) {
	if doc := c.knownStatus(run); doc != nil {
		return doc, nil
	}
	doc, err := c.StatusFile(ctx, run.ID)
	if err == nil {
		c.KnowStatus(run, doc)
	}
	return doc, err
}

// KnowStatus caches a status.json that was read elsewhere, for ListedStatus.
func (c *Client) KnowStatus(run *Run, doc *Document[StatusDocument]) {
	if c.lastCapabilities().Generation == Generation06 && !doc.Value.EndTime.IsZero() {
		c.ended.put(run.ID, doc)
	}
}

// KnowsStatus reports whether ListedStatus needs no request.
func (c *Client) KnowsStatus(run *Run) bool { return c.knownStatus(run) != nil }

func (c *Client) knownStatus(run *Run) *Document[StatusDocument] {
	doc, ok := c.ended.get(run.ID)
	if !ok || doc.Value.Status.Value != run.Status.Value {
		return nil
	}
	return doc
}

// SummaryFile reads the summary.json of a run, from 0.6 on, including non-finite numbers.
// The file appears with the first call of summary() or with finish().
func (c *Client) SummaryFile(ctx context.Context, runID string) (*Document[Values], error) {
	return readDocument[Values](ctx, c, runID, FileSummary)
}

// MetaFile reads the meta.json of a run, from 0.6 on.
func (c *Client) MetaFile(ctx context.Context, runID string) (*Document[Values], error) {
	return readDocument[Values](ctx, c, runID, FileMeta)
}

// readDocument reads a small file completely. The SDK rewrites files in place, so one that
// is being written may be KindMalformed.
func readDocument[T any](ctx context.Context, c *Client, runID string, file RunFile) (*Document[T], error) {
	if err := CheckID("run_id", runID); err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s of %s", file, runID)
	return shareRead(ctx, c, CapFiles, key, func(ctx context.Context) (*Document[T], error) {
		return fetchDocument[T](ctx, c, runID, file)
	})
}

func fetchDocument[T any](ctx context.Context, c *Client, runID string, file RunFile) (_ *Document[T], err error) {
	// One byte more than allowed detects a file that is too large.
	part, err := c.ReadFile(ctx, runID, file, 0, maxDocument+1)
	if err != nil {
		return nil, err
	}
	x, hasBody := part.body.(*exchange)
	switch {
	case part.State == FileUnchanged: // 416: the file is empty because the SDK is about to write it
		return &Document[T]{State: FileAbsent}, nil
	case !hasBody:
		return &Document[T]{State: part.State}, nil
	}
	defer func() { err = x.closeWith(err) }()
	x.limit = maxDocument
	doc := &Document[T]{State: FileWhole}
	err = x.decode(doc, true)
	if x.read == 0 && IsKind(err, KindMalformed) { // the SDK is about to write it
		return &Document[T]{State: FileAbsent}, nil
	}
	return doc, err
}

// UnmarshalJSONFrom reads the content.
func (d *Document[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return json.UnmarshalDecode(dec, &d.Value)
}
