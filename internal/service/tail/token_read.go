package tail

import (
	"errors"
	"fmt"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// readTailToken reads a token of points.
func readTailToken(text string) (*tailToken, error) {
	t, err := parseTailToken(text)
	if err == nil && t.textLog {
		return nil, errWrongTokenKind
	}
	return t, err
}

// parseTailToken reads a token, and nothing but what String writes.
func parseTailToken(text string) (*tailToken, error) {
	body, ok := page.Unseal(text)
	if !ok || len(body) < 2 || len(text) > maxTailToken {
		return nil, page.ErrDamaged
	}
	if body[0] != tailTokenVersion {
		return nil, errTokenVersion
	}
	t := &tailToken{hasFilter: body[1]&tokenHasFilter != 0, fromNow: body[1]&tokenFromNow != 0, textLog: body[1]&tokenTextLog != 0}
	d := page.NewTokenReader(body[2:])
	t.read(d)
	if !d.Done() || t.String() != text {
		return nil, page.ErrDamaged
	}
	return t, nil
}

// readLogToken reads the token of a text log.
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

var errWrongTokenKind = errors.New("it is of a stream of another kind")

var errTokenVersion = errors.New("it is from another version of this server")

// read reads what is behind the flags.
func (t *tailToken) read(d *page.TokenReader) {
	if t.hasFilter {
		t.filter, t.viewer, t.evictedThrough = d.Text(), d.Text(), d.Number()
	}
	viewers := make([]string, d.Length())
	for i := range viewers {
		viewers[i] = d.Text()
		if baseline := d.Number(); t.fromNow && t.hasFilter {
			if t.baseline == nil {
				t.baseline = map[string]int64{}
			}
			t.baseline[viewers[i]] = baseline
		}
	}
	t.runs = make([]tailRun, d.Length())
	for i := range t.runs {
		at := d.Number()
		if d.Failed() || at >= int64(len(viewers)) {
			d.Fail()
			return
		}
		t.runs[i] = tailRun{viewer: viewers[at], runID: readRunID(d), marks: runMarks(d.Next(1)[0])}
		if t.runs[i].at.UnmarshalBinary(d.Next(int(d.Next(1)[0]))) != nil || t.runs[i].marks&^allMarks != 0 {
			d.Fail()
			return
		}
	}
}

// readRunID reads what appendRunID has written.
func readRunID(d *page.TokenReader) string {
	if n := d.Length(); n > 0 || d.Failed() {
		return string(d.Next(n))
	}
	return unpackRunID(d.Next(packedDigits + packedRest))
}

// invalidResumeToken refuses a token.
func invalidResumeToken(why error) *apierr.Error {
	f := apierr.Invalid("resume_token", "cannot be used: %v", why)
	f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID
	f.Cause = fmt.Errorf("read the resume token: %w", why)
	return f
}
