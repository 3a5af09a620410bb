package tail

import (
	"encoding/binary"
	"errors"
	"fmt"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// readTailToken reads a token of TailMetrics.
func readTailToken(text string) (*tailToken, error) {
	t, err := parseTailToken(text)
	if err == nil && t.textLog {
		return nil, errWrongTokenKind
	}
	return t, err
}

// parseTailToken parses a token. It accepts only what String returns.
func parseTailToken(text string) (*tailToken, error) {
	body, ok := page.Unseal(text)
	if !ok || len(body) < 2 || len(text) > maxTailToken {
		return nil, page.ErrDamaged
	}
	t := &tailToken{
		hasFilter: body[1]&tokenHasFilter != 0, fromNow: body[1]&tokenFromNow != 0,
		textLog: body[1]&tokenTextLog != 0, hashed: body[1]&tokenHashed != 0,
	}
	if version := body[0]; t.hasFilter && version != filterTokenVersion || !t.hasFilter && version != tailTokenVersion {
		return nil, errTokenVersion
	}
	d := page.NewTokenReader(body[2:])
	t.read(d)
	if !d.Done() || t.String() != text {
		return nil, page.ErrDamaged
	}
	return t, nil
}

// readLogToken reads a token of TailLogs.
func readLogToken(text string) (*tailToken, error) {
	t, err := parseTailToken(text)
	switch {
	case err != nil:
		return nil, err
	case !t.textLog || t.hasFilter || len(t.runs) != 1:
		return nil, errWrongTokenKind
	}
	return t, nil
}

var errWrongTokenKind = errors.New("it belongs to a stream of another kind")

var errTokenVersion = errors.New("it is from another version of this server")

// read parses what follows the flags.
func (t *tailToken) read(d *page.TokenReader) {
	if t.hasFilter {
		t.filter, t.viewer = d.Text(), d.Text()
	}
	viewers := make([]string, d.Length())
	for i := range viewers {
		viewers[i] = d.Text()
		p := savedProgress{baseline: d.Number()}
		if t.hasFilter {
			p.watermark = runMark{createdMicros: d.Number(), runID: d.Text()}
			p.delivered = d.Number()
		}
		if t.hasFilter {
			if t.progress == nil {
				t.progress = map[string]savedProgress{}
			}
			t.progress[viewers[i]] = p
		}
	}
	t.runs = make([]tailRun, d.Length())
	for i := range t.runs {
		at := d.Number()
		if d.Failed() || at >= int64(len(viewers)) {
			d.Fail()
			return
		}
		t.runs[i] = tailRun{viewer: viewers[at]}
		t.readRunID(d, &t.runs[i])
		t.runs[i].marks = runMarks(d.Next(1)[0])
		if t.runs[i].at.UnmarshalBinary(d.Next(int(d.Next(1)[0]))) != nil || t.runs[i].marks&^allMarks != 0 {
			d.Fail()
			return
		}
	}
}

// readRunID parses what appendRunID has written.
func (t *tailToken) readRunID(d *page.TokenReader, r *tailRun) {
	switch n := d.Length(); {
	case d.Failed():
	case n == 0:
		r.runID = unpackRunID(d.Next(packedDigits + packedRest))
	case !t.hashed:
		r.runID = string(d.Next(n))
	case n == hashBytes:
		r.idHash = binary.BigEndian.Uint64(d.Next(n))
	default:
		d.Fail()
	}
}

// invalidResumeToken is the error for a token that cannot be used.
func invalidResumeToken(why error) *apierr.Error {
	f := apierr.Invalid("resume_token", "cannot be used: %v", why)
	f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID
	f.Cause = fmt.Errorf("read the resume token: %w", why)
	return f
}
