package service

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
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
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < checksumSize+2 || len(text) > maxTailToken {
		return nil, errDamagedToken
	}
	body := b[:len(b)-checksumSize]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, errDamagedToken
	}
	if body[0] != tailTokenVersion {
		return nil, errTokenVersion
	}
	t := &tailToken{hasFilter: body[1]&tokenHasFilter != 0, fromNow: body[1]&tokenFromNow != 0, textLog: body[1]&tokenTextLog != 0}
	d := &tokenReader{b: body[2:]}
	t.read(d)
	if d.invalid || len(d.b) > 0 || string(t.bytes()) != string(b) {
		return nil, errDamagedToken
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
func (t *tailToken) read(d *tokenReader) {
	if t.hasFilter {
		t.filter, t.viewer, t.evictedThrough = d.text(), d.text(), d.number()
	}
	viewers := make([]string, d.length())
	for i := range viewers {
		viewers[i] = d.text()
		if baseline := d.number(); t.fromNow && t.hasFilter {
			if t.baseline == nil {
				t.baseline = map[string]int64{}
			}
			t.baseline[viewers[i]] = baseline
		}
	}
	t.runs = make([]tailRun, d.length())
	for i := range t.runs {
		at := d.number()
		if d.invalid || at >= int64(len(viewers)) {
			d.invalid = true
			return
		}
		t.runs[i] = tailRun{viewer: viewers[at], runID: d.runID(), marks: runMarks(d.next(1)[0])}
		if t.runs[i].at.UnmarshalBinary(d.next(int(d.next(1)[0]))) != nil || t.runs[i].marks&^allMarks != 0 {
			d.invalid = true
			return
		}
	}
}

// tokenReader reads from the front of b; once bad, it gives zeros.
type tokenReader struct {
	b       []byte
	invalid bool
}

// next returns the next n bytes.
func (d *tokenReader) next(n int) []byte {
	if d.invalid || n > len(d.b) {
		d.invalid, d.b = true, nil
		return make([]byte, max(n, 1))
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

func (d *tokenReader) number() int64 {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > 1<<62 {
		d.invalid = true
		return 0
	}
	d.next(used)
	return int64(n) //nolint:gosec // within the bound
}

// length reads how many parts follow, each of at least one byte.
func (d *tokenReader) length() int {
	n := d.number()
	if n > int64(len(d.b)) {
		d.invalid = true
		return 0
	}
	return int(n)
}

func (d *tokenReader) text() string { return string(d.next(d.length())) }

func (d *tokenReader) runID() string {
	if n := d.length(); n > 0 || d.invalid {
		return string(d.next(n))
	}
	return unpackRunID(d.next(packedDigits + packedRest))
}

// invalidResumeToken refuses a token.
func invalidResumeToken(why error) *apierr.Error {
	f := apierr.Invalid("resume_token", "cannot be used: %v", why)
	f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID
	f.Cause = fmt.Errorf("read the resume token: %w", why)
	return f
}
