package runlog

import (
	"context"
	"errors"
)

// read reads what is new of the log, from wherever it is to be had.
func (p *poller) read(ctx context.Context) (hasGrown bool, err error) {
	switch p.j.origin { // the poller is the only one who writes it
	case FromMergedTable:
		isStill, err := p.isStillTable(ctx)
		if err != nil {
			return false, err
		}
		if isStill {
			return p.readTable(ctx)
		}
	case FromLogStream:
		return p.readStream(ctx)
	}
	hasGrown, err = p.readFile(ctx)
	if !errors.Is(err, ErrNoEvents) {
		return hasGrown, err
	}
	p.file = file{}
	if p.j.isOpened {
		p.j.void(SourceChanged)
	}
	if p.j.feed.table == nil {
		return p.readStream(ctx)
	}
	return p.readTable(ctx)
}

// isStillTable says whether the run is still to be read by its table. After
// trouble another generation of the Viewer may be there.
func (p *poller) isStillTable(ctx context.Context) (bool, error) {
	if !p.table.isSuspect {
		return true, nil
	}
	part, err := p.j.feed.read(ctx, 0, 1)
	switch {
	case errors.Is(err, ErrNoEvents):
		p.table.isSuspect = false
		return true, nil
	case err != nil:
		return false, err
	}
	p.table.isSuspect = false
	if part.State != PartWhole {
		p.table = table{}
		p.j.void(SourceChanged)
	}
	return part.State == PartWhole, part.Body.Close()
}

// readLast reads what only the end of a run brings.
func (p *poller) readLast(ctx context.Context) error {
	switch p.j.origin {
	case FromMergedTable:
		return p.readLastTable(ctx)
	case FromLogStream:
		return nil
	}
	return p.readLastLine(ctx)
}
