package compat

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// write encodes the points one by one, because millions of them should not be copied into
// one text.
func (t *table) write(w http.ResponseWriter) error {
	fidelity := strings.ToLower(strings.TrimPrefix(t.fidelity.String(), "FIDELITY_"))
	head, err := json.Marshal(map[string]string{"run_id": t.runID, "fidelity": fidelity})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	_, _ = out.Write(head[:len(head)-1]) // a bufio.Writer keeps its first error for Flush
	_, _ = out.WriteString(`,"metrics":{`)
	for i, name := range t.names() {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return err
		}
		_, _ = out.Write(quoted)
		t.metrics[name].write(out)
	}
	_, _ = out.WriteString("}}\n")
	return out.Flush()
}

// write writes a metric's points as records.
func (p *points) write(out *bufio.Writer) {
	line := make([]byte, 0, 128)
	_, _ = out.WriteString(":[")
	for i, step := range p.steps {
		line = line[:0]
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, `{"step":`...)
		line = strconv.AppendInt(line, step, 10)
		line = append(line, `,"value":`...)
		if digits, rounded := p.exact[i]; rounded {
			line = append(line, digits...)
		} else {
			line = appendNumber(line, p.values[i])
		}
		line = append(line, `,"timestamp":`...)
		if i < len(p.times) && isFinite(p.times[i]) {
			line = appendNumber(line, p.times[i])
		} else {
			line = append(line, "null"...)
		}
		line = append(line, '}')
		_, _ = out.Write(line)
	}
	_ = out.WriteByte(']')
}

// appendNumber writes a finite number as encoding/json does, except that an integer has
// all the digits of the double: encoding/json replaces the last digits by 0, but the
// client reads an integer.
func appendNumber(line []byte, v float64) []byte {
	format, digits := byte('f'), -1
	switch abs := math.Abs(v); {
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		format = 'e'
	case v == math.Trunc(v):
		digits = 0
	}
	return strconv.AppendFloat(line, v, format, digits, 64)
}

// number is encoded by appendNumber; NaN and ±Inf become null.
type number float64

// MarshalJSON writes the number.
func (n number) MarshalJSON() ([]byte, error) {
	if !isFinite(float64(n)) {
		return []byte("null"), nil
	}
	return appendNumber(nil, float64(n)), nil
}
