package runsource

import (
	"errors"
	"testing"
)

func TestPosition_BinaryRoundTrip(t *testing.T) {
	sum := LineFingerprint{Size: 120, CRC: 0xdeadbeef}
	tests := []struct {
		name string
		p    Position
		size int // maximum
	}{
		{"the beginning", Beginning(), 2},
		{"now", Now(), 2},
		{"the last lines", LastLines(1_000_000), 4},
		{"the beginning of a log that was seen", Position{Origin: FromEventLog}, 3},
		{"after a line", Position{Origin: FromEventLog, Offset: 300 << 20, FirstLine: sum, PrevLine: sum}, 20},
		{"within a line", Position{Origin: FromEventLog, Offset: 300 << 20, Index: 4096, FirstLine: sum, PrevLine: sum}, 21},
		{"after a line without newline", Position{Origin: FromLogFile, Offset: 119, FirstLine: sum, PrevLine: sum, Unterminated: true}, 20},
		{"at a size", Position{Origin: FromEventLog, Offset: 100, Unaligned: true, FirstLine: sum}, 20},
		{"of a stream, whose offsets are numbers of lines", Position{Origin: FromLogStream, Offset: 3, FirstLine: sum, PrevLine: sum}, 20},
		{"of a table", Position{Origin: FromMergedTable, Step: -7, Digest: 1 << 63}, 12},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := tt.p.MarshalBinary()
			if err != nil || len(b) > tt.size {
				t.Fatalf("%d bytes, want at most %d; error %v", len(b), tt.size, err)
			}
			var got Position
			if err := got.UnmarshalBinary(b); err != nil || got != tt.p {
				t.Errorf("got %+v and error %v, want %+v", got, err, tt.p)
			}
			for n := range b {
				if err := got.UnmarshalBinary(b[:n]); !errors.Is(err, ErrPosition) {
					t.Errorf("the first %d bytes are a position", n)
				}
			}
			if err := got.UnmarshalBinary(append(b, 0)); !errors.Is(err, ErrPosition) {
				t.Error("more bytes than a position has are one")
			}
		})
	}
}

// FuzzPosition checks that nothing panics, and that each accepted position has one
// encoding.
func FuzzPosition(f *testing.F) {
	sum := LineFingerprint{Size: 120, CRC: 0xdeadbeef}
	for _, p := range []Position{
		{},
		Now(), LastLines(9),
		{Origin: FromEventLog, Offset: 300 << 20, Index: 3, FirstLine: sum, PrevLine: sum},
		{Origin: FromLogFile, Offset: 119, FirstLine: sum, PrevLine: sum, Unterminated: true},
		{Origin: FromMergedTable, Step: -7, Digest: 1 << 63},
	} {
		b, err := p.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Position
		if err := p.UnmarshalBinary(b); err != nil {
			if p != (Position{}) {
				t.Errorf("an error has left %+v", p)
			}
			return
		}
		again, err := p.MarshalBinary()
		if err != nil || string(again) != string(b) {
			t.Errorf("%x became %x, error %v", b, again, err)
		}
	})
}
