package page

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// ChecksumSize is the size in bytes of the checksum at the end of a token.
const ChecksumSize = 4

// AppendText appends a text with its length.
func AppendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// AppendChecksum appends the checksum of b.
func AppendChecksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// EncodeToken returns a token in the form that clients get.
func EncodeToken(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// EncodedLen returns the length of an encoded token of n bytes.
func EncodedLen(n int) int { return base64.RawURLEncoding.EncodedLen(n) }

// seal appends the checksum and encodes the token.
func seal(body []byte) string { return EncodeToken(AppendChecksum(body)) }

// Unseal decodes a token; ok is false if its checksum does not match.
func Unseal(token string) (body []byte, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < ChecksumSize {
		return nil, false
	}
	body = b[:len(b)-ChecksumSize]
	return body, crc32.ChecksumIEEE(body) == binary.BigEndian.Uint32(b[len(body):])
}

// TokenReader reads the parts of a token in order. After a damaged part it returns zero
// values.
type TokenReader struct {
	b       []byte
	invalid bool
}

// NewTokenReader returns a reader for the body of a token.
func NewTokenReader(body []byte) *TokenReader { return &TokenReader{b: body} }

// Done reports whether everything was read and nothing was damaged.
func (d *TokenReader) Done() bool { return !d.invalid && len(d.b) == 0 }

// Failed reports whether a part was damaged.
func (d *TokenReader) Failed() bool { return d.invalid }

// Fail marks the token as damaged.
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

// Number reads a non-negative number.
func (d *TokenReader) Number() int64 {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > 1<<62 {
		d.invalid = true
		return 0
	}
	d.Next(used)
	return int64(n) //nolint:gosec // within the bound
}

// Length reads the number of the parts that follow, each of which has at least one byte.
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
