package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// table is rows of cells, printed with aligned columns.
type table struct {
	rows [][]cell
}

// cell is text with the SGR code of its color. A column with numbers is right-aligned.
type cell struct {
	text     string
	color    string
	isNumber bool
}

const bold = "1"

func (t *table) header(names ...string) {
	row := make([]cell, len(names))
	for i, name := range names {
		row[i] = cell{text: name, color: bold}
	}
	t.rows = append(t.rows, row)
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func text(s string) cell { return cell{text: clean(s)} }

func number(v float64) cell { return cell{text: formatNumber(v), isNumber: true} }

func integer(n int64) cell { return cell{text: strconv.FormatInt(n, 10), isNumber: true} }

// print writes the table; a column is as wide as its widest cell.
func (t *table) print(w io.Writer, colors bool) error {
	widths, numbers := map[int]int{}, map[int]bool{}
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], columns(c.text))
			numbers[i] = numbers[i] || c.isNumber
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-columns(c.text))
			shown := c.text
			if colors && c.color != "" && c.text != "" {
				shown = "\x1b[" + c.color + "m" + shown + "\x1b[0m"
			}
			if numbers[i] {
				pad, shown = "", pad+shown
			}
			line.WriteString(shown + pad + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columns returns the width of a text in columns of a terminal.
func columns(s string) (n int) {
	for _, r := range s {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r):
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// clean replaces control characters, so that text of runs is one line and cannot control
// the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// formatTime returns a time in the local time zone; empty if at is nil.
func formatTime(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	return at.AsTime().Local().Format(time.DateTime)
}

func formatBytes(n int64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}

// status returns the cell of an experiment's status, in color.
func status(e *runicornapiv1.Experiment) cell {
	color := map[runicornapiv1.ExperimentStatus]string{
		runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING:     "36",
		runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED:    "32",
		runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED:      "31",
		runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED: "33",
	}[e.GetStatus()]
	name := word(e.GetStatus(), "EXPERIMENT_STATUS_")
	if name == "unspecified" || name == "other" {
		name = clean(e.GetViewerStatus())
	}
	return cell{text: name, color: color}
}
