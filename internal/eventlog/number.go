package eventlog

import (
	"math"
	"math/bits"
	"strconv"
)

// maxIntDigits is the maximum number of digits of an integer in Python 3.11 and later. The
// Viewer skips a line with a longer one.
const maxIntDigits = 4300

// number reads the number at i as Python's json does: NaN and the infinities are numbers,
// 1e400 is an infinity, and integers have neither '.' nor 'e'.
func (v *value) number(b []byte, i int) int {
	start := i
	negative := b[i] == '-'
	if negative {
		i++
	}
	if i < len(b) && b[i] == 'I' {
		v.kind, v.num = jsonFloat, math.Inf(1)
		if negative {
			v.num = math.Inf(-1)
		}
		return scanWord(b, i, "Infinity")
	}
	first := i
	mantissa, i := scanDigits(b, i, 0)
	whole := i - first
	if whole == 0 || b[first] == '0' && whole > 1 {
		return -1
	}
	if i == len(b) || b[i] != '.' && b[i] != 'e' && b[i] != 'E' {
		if whole > maxIntDigits {
			return -1
		}
		v.setInt(b[start:i], mantissa, whole, negative)
		return i
	}
	mantissa, exponent, i := scanFraction(b, i, mantissa)
	if i < 0 {
		return -1
	}
	v.kind = jsonFloat
	if v.num = toFloat(b[first:i], mantissa, exponent); negative {
		v.num = -v.num
	}
	return i
}

// setInt sets v to the integer of the text. mantissa has the digits' value unless it
// overflowed.
func (v *value) setInt(text []byte, mantissa uint64, digits int, negative bool) {
	const limit = 1 << 63
	v.kind, v.raw = jsonInt, text
	if digits > maxDigits {
		v.num, v.fitsInt64 = parseFloat(string(text)), false
		return
	}
	v.num, v.integer, v.fitsInt64 = float64(mantissa), int64(mantissa), mantissa < limit
	if negative {
		v.integer, v.fitsInt64 = -v.integer, mantissa <= limit
		v.num = 0 - v.num // an integer has no negative zero
	}
}

// scanDigits appends the decimal digits at i to the mantissa, which may wrap around.
func scanDigits(b []byte, i int, mantissa uint64) (uint64, int) {
	for ; i < len(b); i++ {
		d := uint64(b[i]) - '0'
		if d > 9 {
			break
		}
		mantissa = mantissa*10 + d
	}
	return mantissa, i
}

// scanFraction reads the part of a float after its integer digits: decimals extend the
// mantissa, and the number is mantissa * 10^exponent.
func scanFraction(b []byte, i int, mantissa uint64) (_ uint64, exponent, end int) {
	if b[i] == '.' {
		first := i + 1
		if mantissa, i = scanDigits(b, first, mantissa); i == first {
			return 0, 0, -1
		}
		exponent = first - i
	}
	if i == len(b) || b[i] != 'e' && b[i] != 'E' {
		return mantissa, exponent, i
	}
	i++
	negative := i < len(b) && b[i] == '-'
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		i++
	}
	first := i
	power, i := scanDigits(b, first, 0)
	switch digits := i - first; {
	case digits == 0:
		return 0, 0, -1
	case digits > 4: // far out of range: handled by parseFloat
		return mantissa, math.MaxInt16, i
	case negative:
		return mantissa, exponent - int(power), i
	default:
		return mantissa, exponent + int(power), i
	}
}

// maxDigits is the number of digits that always fit into a uint64.
const maxDigits = 19

// toFloat returns the double nearest to mantissa * 10^exponent; text is the number without
// its sign, needed if the mantissa overflowed. Doubles as Python writes them (at most 17
// digits) nearly always take the short path, which is several times faster than strconv.
func toFloat(text []byte, mantissa uint64, exponent int) float64 {
	short := len(text) <= maxDigits+1 || significant(text) <= maxDigits
	switch {
	case !short:
		return parseFloat(string(text))
	case exponent == 0 || mantissa == 0:
		return float64(mantissa)
	case exponent < 0 && -exponent < len(powersOf5):
		return divide(mantissa, -exponent)
	default:
		return parseFloat(string(text))
	}
}

// significant counts the digits of a float's text from the first non-zero one. It includes
// the digits of an exponent, which is on the safe side.
func significant(text []byte) int {
	n := 0
	for _, c := range text {
		if n > 0 || '1' <= c && c <= '9' {
			n++
		}
	}
	return n
}

// powersOf5 are the powers that fit into a uint64.
var powersOf5 = func() (powers [28]uint64) {
	powers[0] = 1
	for i := range len(powers) - 1 {
		powers[i+1] = powers[i] * 5
	}
	return powers
}()

// divide returns the double nearest to m / 10^k, for m > 0 and 0 < k < 28. It divides
// integers: 10^k is 5^k * 2^k, and the quotient of the left-aligned m and 5^k has at least
// 63 bits. A remainder only affects rounding and is added as one lower bit; converting to
// float64 then rounds once, correctly.
func divide(m uint64, k int) float64 {
	d := powersOf5[k]
	shiftM, shiftD := bits.LeadingZeros64(m), bits.LeadingZeros64(d)
	m, d = m<<shiftM, d<<shiftD
	quotient, remainder := bits.Div64(m>>1, m<<63, d)
	if remainder != 0 {
		quotient |= 1
	}
	const mantissaBits, bias = 52, 1023
	scale := uint64(bias + shiftD - shiftM - 63 - k) // never subnormal: 2^-153 at least
	return float64(quotient) * math.Float64frombits(scale<<mantissaBits)
}

// parseFloat parses a well-formed number. Out of range is an infinity, as in Python.
func parseFloat(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN() // unreachable: the text was scanned as a JSON number
	}
	return f
}
