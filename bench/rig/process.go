package rig

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// CPUTime returns the CPU time that the server has used.
func (f *Front) CPUTime() (time.Duration, error) { return realviewer.CPUTime(f.process.Pid()) }

// Memory returns, in MiB, the memory of the server before work, and the maximum since its
// start above that.
func (f *Front) Memory(work func() error) (idle, above int64, err error) {
	const mib = 1 << 20
	before, err := f.RSS()
	if err != nil {
		return 0, 0, err
	}
	if err := work(); err != nil {
		return 0, 0, err
	}
	peak, err := f.PeakRSS()
	return before / mib, (peak - before) / mib, err
}

// RSS returns the current memory of the server in bytes.
func (f *Front) RSS() (int64, error) { return f.statusField("VmRSS:") }

// PeakRSS returns the maximum memory of the server in bytes.
func (f *Front) PeakRSS() (int64, error) { return f.statusField("VmHWM:") }

func (f *Front) statusField(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.process.Pid()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc: no %s", name)
}

// Quantile returns a quantile of a sample, which it sorts.
func Quantile(sample []time.Duration, q float64) time.Duration {
	slices.Sort(sample)
	return sample[int(q*float64(len(sample)-1))]
}

// Gauge reads one of the server's metrics, by its name without labels.
func (f *Front) Gauge(ctx context.Context, name string) (float64, error) {
	all, err := f.Gauges(ctx)
	if err != nil {
		return 0, err
	}
	value, ok := all[name]
	if !ok {
		return 0, fmt.Errorf("/metrics: no %s", name)
	}
	return value, nil
}

// Gauges reads the server's metrics without labels, by name.
func (f *Front) Gauges(ctx context.Context) (map[string]float64, error) {
	page, err := Read(ctx, "http://"+f.HTTPAddr+"/metrics")
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(page)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			all[name] = value
		}
	}
	return all, nil
}
