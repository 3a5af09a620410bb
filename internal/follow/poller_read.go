package follow

import (
	"context"
	"errors"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// read reads what is new in the log, from its source.
func (p *poller) read(ctx context.Context) (grown bool, err error) {
	switch p.j.origin { // only the poller writes it
	case runsource.FromMergedTable:
		stillTable, err := p.verifyTableSource(ctx)
		if err != nil {
			return false, err
		}
		if stillTable {
			return p.readTable(ctx)
		}
	case runsource.FromLogStream:
		return p.readStream(ctx)
	}
	grown, err = p.readFile(ctx)
	if !errors.Is(err, runsource.ErrNotServed) {
		return grown, err
	}
	p.file = fileState{}
	if p.j.opened {
		p.j.invalidate(SourceChanged)
	}
	if p.j.source.table == nil {
		return p.readStream(ctx)
	}
	return p.readTable(ctx)
}

// verifyTableSource reports whether the run must still be read by its table. After errors,
// the Viewer may be another generation.
func (p *poller) verifyTableSource(ctx context.Context) (bool, error) {
	if !p.table.needsVerify {
		return true, nil
	}
	part, err := p.j.source.read(ctx, 0, 1)
	switch {
	case errors.Is(err, runsource.ErrNotServed):
		p.table.needsVerify = false
		return true, nil
	case err != nil:
		return false, err
	}
	p.table.needsVerify = false
	if part.State != restclient.FileWhole {
		p.table = tableState{}
		p.j.invalidate(SourceChanged)
	}
	return part.State == restclient.FileWhole, part.Close()
}

// readLast reads what is complete only at the end of a run.
func (p *poller) readLast(ctx context.Context) error {
	switch p.j.origin {
	case runsource.FromMergedTable:
		return p.readLastTable(ctx)
	case runsource.FromLogStream:
		return nil
	}
	return p.readLastLine(ctx)
}
