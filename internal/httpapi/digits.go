package httpapi

import (
	"math"
	"strconv"
)

// keepDigits replaces integers in doubles by all their digits. protojson writes the
// fewest digits that give the same double, followed by zeros; a reader that parses them
// as an integer, as Python does, gets another number. All other integers in protobuf's
// JSON are shorter, or are strings.
func keepDigits(text []byte, err error) ([]byte, error) {
	const minDigits = 17
	var out []byte
	copied, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '-' || '0' <= c && c <= '9'):
			end := i + 1
			for end < len(text) && isNumberByte(text[end]) {
				end++
			}
			if end-i >= minDigits {
				if v, err := strconv.ParseFloat(string(text[i:end]), 64); err == nil && v == math.Trunc(v) && math.Abs(v) < 1e21 {
					out = append(out, text[copied:i]...)
					out, copied = strconv.AppendFloat(out, v, 'f', 0, 64), end
				}
			}
			i = end - 1
		}
	}
	if out == nil {
		return text, err
	}
	return append(out, text[copied:]...), err
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
