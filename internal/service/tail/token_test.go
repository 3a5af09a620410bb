package tail

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// mustPosition reads a position from its binary form.
func mustPosition(tb testing.TB, raw ...byte) runsource.Position {
	tb.Helper()
	var p runsource.Position
	if err := p.UnmarshalBinary(raw); err != nil {
		tb.Fatal(err)
	}
	return p
}

// maxPosition is one of a log of terabytes with long lines.
func maxPosition(tb testing.TB) runsource.Position {
	tb.Helper()
	return mustPosition(tb,
		byte(runsource.FromEventLog)|0x40|0x80,
		0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, // 2^42
		0x80, 0x80, 0x01, // cell 2^14
		0x80, 0x80, 0x80, 0x04, 1, 2, 3, 4, // a first line of 8 MiB
		0x80, 0x80, 0x80, 0x04, 5, 6, 7, 8,
	)
}

func sampleTokens(tb testing.TB) map[string]*tailToken {
	tb.Helper()
	full := &tailToken{hasFilter: true, filter: filterHash("vision"), viewer: "-", fromNow: true, progress: map[string]savedProgress{
		"lab": {baseline: 1_800_000_000_000_000, watermark: runMark{1_700_000_000_000_000, "20250131_120000_abc123"}, delivered: 5000},
	}}
	for i := range maxTailRuns {
		full.runs = append(full.runs, tailRun{viewer: "lab", runID: fmt.Sprintf("20250131_120000_%06x", i), at: maxPosition(tb), marks: markLive})
	}
	return map[string]*tailToken{
		"empty":       {},
		"one run":     {runs: []tailRun{{viewer: "default", runID: "20250131_120000_abc123", at: runsource.Beginning()}}},
		"a log":       {textLog: true, runs: []tailRun{{viewer: "a", runID: "20250131_120000_abc123", marks: markEnded}}},
		"odd ids":     {runs: []tailRun{{viewer: "a", runID: "my run"}, {viewer: "b", runID: "20250131_120000_ABC123", marks: markEnded | markLive}, {viewer: "a", runID: "2025013112000012345678"}}},
		"from now":    {runs: []tailRun{{viewer: "a", runID: "r", at: runsource.Now(), marks: markPartial}}},
		"a filter":    {hasFilter: true, viewer: ""},
		"64 far runs": full,
	}
}

func TestTailToken_RoundTrip(t *testing.T) {
	for name, token := range sampleTokens(t) {
		t.Run(name, func(t *testing.T) {
			text := token.String()
			got, err := parseTailToken(text)
			if err != nil {
				t.Fatal(err)
			}
			if again := got.String(); again != text {
				t.Errorf("%q became %q", text, again)
			}
			if len(got.runs) != len(token.runs) || len(text) > maxTailToken || !token.fits() {
				t.Errorf("%d runs in %d bytes, fits: %v", len(got.runs), len(text), token.fits())
			}
			for i, r := range token.runs {
				if got.runs[i] != r {
					t.Errorf("run %d is %v, want %v", i, got.runs[i], r)
				}
			}
			if diff := cmp.Diff(token.progress, got.progress, cmp.AllowUnexported(savedProgress{}, runMark{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTailToken_Damaged flips every bit and cuts at every offset.
func TestTailToken_Damaged(t *testing.T) {
	raw := sampleTokens(t)["odd ids"].bytes()
	for i := range raw {
		for bit := range 8 {
			bad := []byte(string(raw))
			bad[i] ^= 1 << bit
			if _, err := readTailToken(base64.RawURLEncoding.EncodeToString(bad)); err == nil {
				t.Errorf("bit %d of byte %d is not noticed", bit, i)
			}
		}
		if _, err := readTailToken(base64.RawURLEncoding.EncodeToString(raw[:i])); err == nil {
			t.Errorf("a cut at %d is not noticed", i)
		}
	}
}

func TestTailToken_TooLong(t *testing.T) {
	token := &tailToken{}
	for i := range maxTailRuns {
		token.runs = append(token.runs, tailRun{viewer: "lab", runID: fmt.Sprint(i, strings.Repeat("x", 60))})
	}
	if token.fits() {
		t.Error("64 long ids fit")
	}
	token.hasFilter = true
	if text := token.String(); !token.fits() || len(text) > maxTailToken {
		t.Errorf("64 hashes of long ids do not fit: %d bytes", len(text))
	}
	got, err := readTailToken(token.String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.runs {
		if got.runs[i].idHash != runIDHash(token.runs[i].runID) {
			t.Errorf("run %d has the hash %x", i, got.runs[i].idHash)
		}
	}
}

func FuzzTailToken(f *testing.F) {
	for _, token := range sampleTokens(f) {
		f.Add(token.bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// With its sum made right, or it never gets beyond that.
		text := base64.RawURLEncoding.EncodeToString(withSum(raw))
		token, err := parseTailToken(text)
		if err == nil && token.String() != text {
			t.Errorf("%q became %q", text, token.String())
		}
	})
}

// withSum puts the right sum at the end.
func withSum(raw []byte) []byte {
	body := raw[:max(len(raw)-page.ChecksumSize, 0)]
	return binary.BigEndian.AppendUint32([]byte(string(body)), crc32.ChecksumIEEE(body))
}
