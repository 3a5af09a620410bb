package demoviewer

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// tableCache counts as the Viewer's cache of parsed files does: same size is a hit, a larger file an update.
type tableCache struct {
	sizes                 map[string]int64
	hits, misses, updates int
}

// ask counts one read of a file.
func (c *tableCache) ask(id string, size int64) {
	switch known, cached := c.sizes[id]; {
	case !cached:
		c.misses++
	case known == size:
		c.hits++
	case known < size:
		c.updates++
	default:
		c.misses++
	}
	c.sizes[id] = size
}

// hitRate is the share of hits.
func (c *tableCache) hitRate() float64 {
	return float64(c.hits) / float64(max(c.hits+c.misses+c.updates, 1))
}

// metricTable is GET /api/runs/{run_id}/metrics and its twin metrics_step.
func metricTable(v *Viewer, c *call) answer {
	points, bad := c.downsample()
	if bad != nil {
		return *bad
	}
	r := v.store().visible(c.params["run_id"])
	if r == nil {
		return runNotFound()
	}
	now := v.clock()
	if size := r.events.size(now); size > 0 {
		v.cache.ask(r.id, size)
	}
	t := r.events.table(now)
	picked, err := downsampleRows(t, points)
	if err != nil { // text in the column that downsampling uses
		return answer{
			status: http.StatusInternalServerError, contentType: "text/plain; charset=utf-8",
			text: []byte("Internal Server Error"),
		}
	}
	return t.answer(picked)
}

// downsample reads the parameter; 0 means all rows.
func (c *call) downsample() (int, *answer) {
	if !c.query.Has("downsample") {
		return 0, nil
	}
	text := c.query.Get("downsample")
	n, bad := intText(text, "query", "downsample")
	switch {
	case bad != nil:
		return 0, bad
	case n < 100:
		return 0, unprocessable(problem{
			Type: "greater_than_equal", Loc: []any{"query", "downsample"}, Input: encode(text),
			Msg: "Input should be greater than or equal to 100", Ctx: map[string]any{"ge": 100},
		})
	case n > 50000:
		return 0, unprocessable(problem{
			Type: "less_than_equal", Loc: []any{"query", "downsample"}, Input: encode(text),
			Msg: "Input should be less than or equal to 50000", Ctx: map[string]any{"le": 50000},
		})
	}
	return n, nil
}

// answer streams the picked rows, all of them when picked is nil.
func (t table) answer(picked []int) answer {
	n, at := t.rows, func(i int) int { return i }
	if picked != nil {
		n, at = len(picked), func(i int) int { return picked[i] }
	}
	header := map[string]string{"X-Row-Count": strconv.Itoa(n), "X-Total-Count": strconv.Itoa(t.rows)}
	if n > 0 {
		header["X-Last-Step"] = string(t.row(at(n - 1))[0])
	}
	var length byteCount // one pass more, for the Content-Length that the real Viewer always sends
	if err := t.write(&length, n, at); err != nil {
		panic("demoviewer: counting bytes: " + err.Error())
	}
	header["Content-Length"] = strconv.Itoa(int(length))
	return answer{status: http.StatusOK, header: header, stream: func(w io.Writer) error { return t.write(w, n, at) }}
}

// byteCount counts what is written to it.
type byteCount int

// Write implements io.Writer.
func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}

// write makes the body, piece by piece: rows are objects, each with every column.
func (t table) write(w io.Writer, n int, at func(int) int) error {
	const piece = 64 << 10
	names := make([][]byte, len(t.columns))
	for i, column := range t.columns {
		names[i] = append(encode(column), ':')
	}
	buf := append([]byte(`{"columns":`), encode(t.columns)...)
	buf = append(buf, `,"rows":[`...)
	for i := range n {
		if i > 0 {
			buf = append(buf, ',')
		}
		for j, cell := range t.row(at(i)) {
			buf = append(buf, "{,"[min(j, 1)])
			buf = append(buf, names[j]...)
			buf = append(buf, cmp.Or(string(cell), "null")...)
		}
		buf = append(buf, '}')
		if len(buf) >= piece {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(fmt.Appendf(buf, `],"total":%d,"sampled":%d}`, t.rows, n))
	return err
}
