package tail

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// The resume token of a live stream holds everything that another server needs to
// continue it: the runs, how far each was sent, and for a stream by filter a hash of the
// filter and how far the runs of each Viewer were started. It must fit into the 4096
// bytes of its field with 64 runs in it. A token of a stream by filter holds hashes
// instead of long ids if it would be too long with the ids; the lists have the ids.
const (
	maxTailToken     = 4096
	tailTokenVersion = 2
	// filterTokenVersion is the version of tokens by filter.
	filterTokenVersion = 3
	// maxTailRuns is the maximum number of runs that one stream follows.
	maxTailRuns = 64
	// maxPositionSize is the maximum encoded size of a position in a log of any size.
	maxPositionSize = 32
)

// runMarks are the flags of a run in a token.
type runMarks uint8

const (
	// markEnded: the end of the run was sent.
	markEnded runMarks = 1 << iota
	// markLive: its history was sent; later points are not downsampled.
	markLive
	// markPartial: a downsampled history was sent in part, and must be sent again.
	markPartial
	allMarks = markEnded | markLive | markPartial
)

// tailRun is one run of a token.
type tailRun struct {
	viewer, runID string // runID is empty if only its hash is known
	idHash        uint64
	marks         runMarks
	at            runsource.Position
}

// tailToken is a parsed token.
type tailToken struct {
	runs []tailRun
	// hasFilter: the runs are selected by a filter, of which filter is the hash, on the
	// Viewers that viewer selects.
	hasFilter bool
	filter    string
	viewer    string
	// fromNow: runs that existed when the stream began are followed from that time on
	// only.
	fromNow bool
	// progress is how far the runs were started, by the name of their Viewer.
	progress map[string]savedProgress
	// textLog: the token belongs to a text log, which has one run.
	textLog bool
	// hashed: ids that cannot be packed are replaced by hashes.
	hashed bool
}

// savedProgress is how far the runs of one Viewer were started; see viewerProgress.
type savedProgress struct {
	baseline  int64
	watermark runMark
	delivered int64
}

const (
	tokenHasFilter = 1 << iota
	tokenFromNow
	tokenTextLog
	tokenHashed
)

// String returns the token in the form that clients get.
func (t *tailToken) String() string {
	b := t.bytes()
	if t.hasFilter && !t.hashed && page.EncodedLen(len(b)) > maxTailToken {
		short := *t
		short.hashed = true
		b = short.bytes()
	}
	return page.EncodeToken(b)
}

// bytes encodes: version, flags, the filter, the Viewers, the runs, and a checksum.
func (t *tailToken) bytes() []byte {
	version, flags := byte(tailTokenVersion), byte(0)
	for i, isSet := range [...]bool{t.hasFilter, t.fromNow, t.textLog, t.hashed} { // in the order of their constants
		if isSet {
			flags |= 1 << i
		}
	}
	if t.hasFilter {
		version = filterTokenVersion
	}
	b := append(make([]byte, 0, 128+len(t.runs)*(maxPositionSize+16)), version, flags)
	if t.hasFilter {
		b = page.AppendText(b, t.filter)
		b = page.AppendText(b, t.viewer)
	}
	viewers := t.viewers()
	b = binary.AppendUvarint(b, uint64(len(viewers)))
	for _, name := range viewers {
		b = page.AppendText(b, name)
		p := t.progress[name]
		b = binary.AppendUvarint(b, uint64(p.baseline)) //nolint:gosec // not negative
		if t.hasFilter {
			b = appendProgress(b, &p)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(t.runs)))
	for i := range t.runs {
		r := &t.runs[i]
		b = binary.AppendUvarint(b, uint64(slices.Index(viewers, r.viewer))) //nolint:gosec // it is one of them
		b = t.appendRunID(b, r)
		at, _ := r.at.MarshalBinary() // never fails
		b = append(b, byte(r.marks), byte(len(at)))
		b = append(b, at...)
	}
	return page.AppendChecksum(b)
}

// appendProgress encodes the progress of a Viewer except its name and baseline.
func appendProgress(b []byte, p *savedProgress) []byte {
	b = binary.AppendUvarint(b, uint64(p.watermark.createdMicros)) //nolint:gosec // not negative
	b = page.AppendText(b, p.watermark.runID)
	return binary.AppendUvarint(b, uint64(max(p.delivered, 0)))
}

// appendRunID encodes the id of a run. An id in the SDK's form, such as
// 20250131_120000_abc123, takes ten bytes: a zero in place of the length, the digits as a
// number, and the rest.
func (t *tailToken) appendRunID(b []byte, r *tailRun) []byte {
	if packed, ok := packRunID(r.runID); ok {
		return append(append(b, 0), packed...)
	}
	if !t.hashed {
		return page.AppendText(b, r.runID)
	}
	hash := r.idHash
	if r.runID != "" {
		hash = runIDHash(r.runID)
	}
	return binary.BigEndian.AppendUint64(append(b, hashBytes), hash)
}

// viewers returns the names of the Viewers in the order of the runs.
func (t *tailToken) viewers() []string {
	names := make([]string, 0, 1)
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range t.runs {
		add(t.runs[i].viewer)
	}
	for _, name := range slices.Sorted(maps.Keys(t.progress)) {
		add(name)
	}
	return names
}

// fits reports whether the token will fit into its field for any later positions.
func (t *tailToken) fits() bool {
	short := *t
	short.hashed = t.hasFilter
	size := min(len(t.bytes()), len(short.bytes()))
	for i := range t.runs {
		at, _ := t.runs[i].at.MarshalBinary() // never fails
		size += max(maxPositionSize-len(at), 0)
	}
	return page.EncodedLen(size) <= maxTailToken
}

// The sizes of packed ids, and of hashes.
const (
	packedDigits = 6
	packedRest   = 3
	hashBytes    = 8
)

func packRunID(id string) ([]byte, bool) {
	if len(id) != len("20250131_120000_abc123") || id[8] != '_' || id[15] != '_' {
		return nil, false
	}
	digits, err := strconv.ParseUint(id[:8]+id[9:15], 10, 8*packedDigits)
	rest, restErr := hex.DecodeString(id[16:])
	if err != nil || restErr != nil {
		return nil, false
	}
	packed := binary.BigEndian.AppendUint64(make([]byte, 0, 8+packedRest), digits)[8-packedDigits:]
	packed = append(packed, rest...)
	return packed, unpackRunID(packed) == id // false for ids with capital letters
}

func unpackRunID(b []byte) string {
	digits := binary.BigEndian.Uint64(append(make([]byte, 8-packedDigits, 8), b[:packedDigits]...))
	text := fmt.Sprintf("%014d", digits)
	if len(text) < 14 {
		return ""
	}
	return text[:8] + "_" + text[8:] + "_" + hex.EncodeToString(b[packedDigits:])
}
