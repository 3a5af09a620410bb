package export

import (
	"bufio"
	"io"
)

// bufferSize is the size in bytes of the buffer of a text file.
const bufferSize = 64 << 10

// textFile is a buffered text file. It keeps its first error, which Close returns.
type textFile struct{ *bufio.Writer }

func newTextFile(out io.Writer) textFile { return textFile{bufio.NewWriterSize(out, bufferSize)} }

// write adds text.
func (f textFile) write(parts ...string) {
	for _, part := range parts {
		_, _ = f.WriteString(part)
	}
}

// Close completes the file.
func (f textFile) Close() error { return f.Flush() }
