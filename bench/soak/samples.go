package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
)

// curve is one resource of the process.
type curve struct {
	name, metric string
	growth       float64 // permitted growth from the second quarter to the last one
	color        string
}

var curves = []curve{
	{"resident", "process_resident_memory_bytes", 0.15, "#1f77b4"},
	{"heap", "go_memstats_heap_inuse_bytes", 0.2, "#9467bd"},
	{"goroutines", "go_goroutines", 0.1, "#2ca02c"},
	{"descriptors", "process_open_fds", 0.1, "#d62728"},
}

// sample is the values of all curves at one time.
type sample struct {
	at     time.Duration
	values [4]float64 // as curves
}

// minSamples and maxInterval: as many samples as a picture can show, and at least one
// every five seconds.
const (
	minSamples  = 100
	maxInterval = 5 * time.Second
)

// sampleUntil reads the metrics of the server until the context ends.
func sampleUntil(ctx context.Context, out io.Writer, front *rig.Front) (samples []sample, err error) {
	start := time.Now()
	ticker := time.NewTicker(min(maxInterval, *duration/minSamples))
	defer ticker.Stop()
	printed := start
	for {
		select {
		case <-ctx.Done():
			return samples, nil
		case <-ticker.C:
		}
		s := sample{at: time.Since(start)}
		gauges, err := front.Gauges(ctx)
		if ctx.Err() != nil {
			return samples, nil
		}
		if err != nil {
			return samples, err
		}
		for i, c := range curves {
			s.values[i] = gauges[c.metric]
		}
		samples = append(samples, s)
		if time.Since(printed) >= time.Minute {
			printed = time.Now()
			fmt.Fprintf(out, "%v: %.0f MiB resident, %.0f goroutines, %.0f descriptors\n",
				s.at.Round(time.Second), s.values[0]/(1<<20), s.values[2], s.values[3])
		}
	}
}

// write writes the table and the picture.
func write(path string, samples []sample) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // for people
		return err
	}
	var table strings.Builder
	table.WriteString("seconds")
	for _, c := range curves {
		table.WriteString("," + c.metric)
	}
	for _, s := range samples {
		fmt.Fprintf(&table, "\n%.1f", s.at.Seconds())
		for _, v := range s.values {
			fmt.Fprintf(&table, ",%.0f", v)
		}
	}
	if err := os.WriteFile(path+".csv", []byte(table.String()+"\n"), 0o644); err != nil { //nolint:gosec // for people
		return err
	}
	return os.WriteFile(path+".svg", []byte(picture(samples)), 0o644) //nolint:gosec // for people
}

// The picture has one strip per curve, from zero to its maximum.
const (
	width, strip, margin = 900, 150, 60
)

func picture(samples []sample) string {
	var text strings.Builder
	fmt.Fprintf(&text, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		width+2*margin, len(curves)*(strip+margin)+margin)
	text.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	end := samples[len(samples)-1].at.Seconds()
	for i, c := range curves {
		top, maximum := margin/2+i*(strip+margin), 1.0
		for _, s := range samples {
			maximum = max(maximum, s.values[i])
		}
		fmt.Fprintf(&text, `<text x="%d" y="%d">%s: %s at most</text>`+"\n", margin, top+12, c.metric, label(c.metric, maximum))
		fmt.Fprintf(&text, `<path d="M%d %dv%dh%d" fill="none" stroke="gray"/>`+"\n", margin, top+20, strip, width)
		fmt.Fprintf(&text, `<polyline fill="none" stroke="%s" points="`, c.color)
		for _, s := range samples {
			fmt.Fprintf(&text, "%.1f,%.1f ", margin+s.at.Seconds()/end*width, float64(top+20+strip)-s.values[i]/maximum*strip)
		}
		text.WriteString("\"/>\n")
	}
	fmt.Fprintf(&text, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n</svg>\n", width+margin, len(curves)*(strip+margin)+margin/2, time.Duration(end*float64(time.Second)).Round(time.Second))
	return text.String()
}

func label(metric string, value float64) string {
	if strings.HasSuffix(metric, "_bytes") {
		return fmt.Sprintf("%.0f MiB", value/(1<<20))
	}
	return fmt.Sprintf("%.0f", value)
}
