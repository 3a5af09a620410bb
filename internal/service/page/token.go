package page

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// ChecksumSize is the sum against damage at the end of a token.
const ChecksumSize = 4

// AppendText adds a text with its length.
func AppendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// AppendChecksum adds the sum against damage.
func AppendChecksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// EncodeToken returns a token as clients get it.
func EncodeToken(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// EncodedLen is the length of a token of so many bytes as clients get it.
func EncodedLen(n int) int { return base64.RawURLEncoding.EncodedLen(n) }

// seal adds the sum and returns the token as clients get it.
func seal(body []byte) string { return EncodeToken(AppendChecksum(body)) }

// Unseal returns the body of a token whose sum is right.
func Unseal(token string) (body []byte, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < ChecksumSize {
		return nil, false
	}
	body = b[:len(b)-ChecksumSize]
	return body, crc32.ChecksumIEEE(body) == binary.BigEndian.Uint32(b[len(body):])
}

// TokenReader reads the parts of a token, from its front; once one is damaged, it
// gives zeros.
type TokenReader struct {
	b       []byte
	invalid bool
}

// NewTokenReader returns a reader of the body of a token.
func NewTokenReader(body []byte) *TokenReader { return &TokenReader{b: body} }

// Done reports whether all was read, and nothing was damaged.
func (d *TokenReader) Done() bool { return !d.invalid && len(d.b) == 0 }

// Failed reports whether a part was damaged.
func (d *TokenReader) Failed() bool { return d.invalid }

// Fail says that a part is damaged.
func (d *TokenReader) Fail() { d.invalid = true }

// Next returns the next n bytes.
func (d *TokenReader) Next(n int) []byte {
	if d.invalid || n > len(d.b) {
		d.invalid, d.b = true, nil
		return make([]byte, max(n, 1))
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

// Number reads a number that is not negative.
func (d *TokenReader) Number() int64 {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > 1<<62 {
		d.invalid = true
		return 0
	}
	d.Next(used)
	return int64(n) //nolint:gosec // within the bound
}

// Length reads how many parts follow, each of at least one byte.
func (d *TokenReader) Length() int {
	n := d.Number()
	if n > int64(len(d.b)) {
		d.invalid = true
		return 0
	}
	return int(n)
}

// Text reads a text with its length.
func (d *TokenReader) Text() string { return string(d.Next(d.Length())) }
