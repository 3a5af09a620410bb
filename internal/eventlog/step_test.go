package eventlog

import (
	"math"
	"strings"
	"testing"
)

// The expected values are those of Python 3.11.
func TestParseInt_MatchesPython(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		want int64
		ok   bool
	}{
		{"a plain number", "12", 12, true},
		{"white space around it, Unicode's too", " \t12\v\u0085\u00a0\u3000", 12, true},
		{"a separator, which is white space to strip but not to int", "12\x1f", 0, false},
		{"a sign", "-12", -12, true},
		{"leading zeros", "+0077", 77, true},
		{"underscores between digits", "1_000_0", 10000, true},
		{"digits of another script", "１２٣", 123, true},
		{"mathematical digits", "𝟗𝟘", 90, true},
		{"the smallest int64", "-9223372036854775808", math.MinInt64, true},
		{"the largest int64", "9223372036854775807", math.MaxInt64, true},
		{"one below the smallest", "-9223372036854775809", 0, false},
		{"one above the largest", "9223372036854775808", 0, false},
		{"far too large", strings.Repeat("9", 40), 0, false},
		{"more digits than Python reads", strings.Repeat("0", 4300) + "1", 0, false},
		{"nothing", "", 0, false},
		{"only a sign", "-", 0, false},
		{"two signs", "--1", 0, false},
		{"a sign apart", "- 1", 0, false},
		{"a double underscore", "1__0", 0, false},
		{"an underscore in front", "_1", 0, false},
		{"a trailing underscore", "1_", 0, false},
		{"a float", "1.0", 0, false},
		{"a hexadecimal number", "0x10", 0, false},
		{"a superscript, which is no decimal digit", "²", 0, false},
		{"NUL behind it", "1\x00", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseInt(test.text)
			if ok != test.ok || ok && got != test.want {
				t.Errorf("parseInt(%q) = %d, %v; want %d, %v", test.text, got, ok, test.want, test.ok)
			}
		})
	}
}

func TestTruncate(t *testing.T) {
	for f, want := range map[float64]int64{14.9: 14, -14.9: -14, -0.5: 0, -0x1p63: math.MinInt64} {
		if got, ok := truncate(f); !ok || got != want {
			t.Errorf("truncate(%v) = %d, %v; want %d", f, got, ok, want)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0x1p63, -0x1p63 - 2048} {
		if got, ok := truncate(f); ok {
			t.Errorf("truncate(%v) = %d, want none", f, got)
		}
	}
}
