package demoviewer

import (
	"io"
	"math"
	"sort"
	"strconv"
	"time"
)

// Shape of a generated run: in every period the same lines are sparse, non-finite or of
// another stage, so the length of n lines can be computed without generating them.
const (
	period         = 500
	bestOfTraining = "val/accuracy"
	liveInterval   = 400 * time.Millisecond
	liveFor        = 24 * time.Hour
	weightDecay    = 0.05 // the part of "loss" that is not in "train/loss"
)

// Training is a generated event file: line i is a function of i alone. It grows with the
// clock, or is complete from the start, and stops at its limit, so a live run is finished
// after liveFor.
type Training struct {
	start    time.Time
	interval time.Duration
	limit    int64           // lines at the end
	whole    bool            // all lines exist: a finished run
	prefix   [period + 1]int // bytes of the first n lines of a period, without the digits of their steps
}

// NewTraining returns a file of limit lines, one every interval; it is complete if whole,
// or grows with the clock.
func NewTraining(start time.Time, interval time.Duration, limit int64, whole bool) *Training {
	t := &Training{start: start, interval: interval, limit: limit, whole: whole}
	for i := range period {
		line := t.appendLine(nil, int64(i))
		t.prefix[i+1] = t.prefix[i] + len(line) - len(strconv.Itoa(i+1))
	}
	return t
}

// count returns the number of lines at time now.
func (t *Training) count(now time.Time) int64 {
	if t.whole {
		return t.limit
	}
	return min(max(int64(now.Sub(t.start)/t.interval), 0), t.limit)
}

func (t *Training) end() time.Time          { return t.timeOf(t.limit - 1) }
func (t *Training) over(now time.Time) bool { return t.count(now) == t.limit }

// Size implements EventFile.
func (t *Training) Size(now time.Time) int64 { return t.offset(t.count(now)) }

// timeOf returns when line i is written.
func (t *Training) timeOf(i int64) time.Time { return t.start.Add(time.Duration(i+1) * t.interval) }

func (t *Training) modified(now time.Time) time.Time { return t.timeOf(t.count(now) - 1) }

// offset returns the length of the first n lines in bytes.
func (t *Training) offset(n int64) int64 {
	return n/period*int64(t.prefix[period]) + int64(t.prefix[n%period]) + digitsUpTo(n)
}

// digitsUpTo counts the digits of 1 to n.
func digitsUpTo(n int64) (digits int64) {
	for power := int64(1); power <= n; power *= 10 {
		digits += n - power + 1
	}
	return digits
}

func (t *Training) reader() io.ReaderAt { return t }

// ReadAt implements io.ReaderAt by generating the lines in the range.
func (t *Training) ReadAt(p []byte, off int64) (int, error) {
	i := int64(sort.Search(int(t.limit), func(n int) bool { return t.offset(int64(n)+1) > off }))
	buf := make([]byte, 0, len(p)+1024)
	skip := int(off - t.offset(i))
	for ; i < t.limit && len(buf) < skip+len(p); i++ {
		buf = t.appendLine(buf, i)
	}
	n := copy(p, buf[min(skip, len(buf)):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Stopped returns the file as of now, which no longer grows.
func (t *Training) Stopped(now time.Time) *Training {
	stopped := *t // a copy: the old one may be read without the lock
	stopped.limit, stopped.whole = t.count(now), true
	return &stopped
}

// appendLine appends line i as the SDK writes it. Every number except the step has a fixed
// width.
func (t *Training) appendLine(b []byte, i int64) []byte {
	b = append(b, `{"ts": `...)
	b = t.appendTime(b, i)
	b = append(b, `, "type": "metrics", "data": {"loss": `...)
	b = append(b, t.loss(i, weightDecay, "NaN")...)
	b = append(b, `, "train/loss": `...)
	b = append(b, t.loss(i, 0, "NaN")...)
	b = append(b, `, "accuracy": `...)
	b = appendFixed(b, t.accuracy(i))
	b = append(b, `, "lr": `...)
	b = appendFixed(b, learningRate(i))
	if hasGrad(i) {
		b = append(b, `, "grad/norm": `...)
		b = append(b, t.grad(i, "Infinity", "-Infinity")...)
	}
	if hasVal(i) {
		b = append(b, `, "val/accuracy": `...)
		b = appendFixed(b, valAccuracy(i))
	}
	b = append(b, `, "global_step": `...)
	b = strconv.AppendInt(b, i+1, 10)
	b = append(b, `, "time": `...)
	b = t.appendTime(b, i)
	b = append(b, `, "stage": "`...)
	b = append(b, stage(i)...)
	return append(b, "\"}}\n"...)
}

// appendTime writes the time of line i in epoch seconds with six decimals.
func (t *Training) appendTime(b []byte, i int64) []byte {
	micros := t.timeOf(i).UnixMicro()
	b = strconv.AppendInt(b, micros/1e6, 10)
	b = append(b, '.')
	return append(b, strconv.FormatInt(1e6+micros%1e6, 10)[1:]...)
}

// appendFixed appends a number below ten with six decimals, eight bytes.
func appendFixed(b []byte, x float64) []byte { return strconv.AppendFloat(b, x, 'f', 6, 64) }

// Which lines are sparse, and the stage: both names have the same length.
func hasGrad(i int64) bool { return i%10 == 9 }
func hasVal(i int64) bool  { return i%50 == 49 }

func stage(i int64) string {
	if i%50 >= 45 {
		return "valid"
	}
	return "train"
}

// loss falls, with noise, to slightly above its penalty; three lines of a period have none.
func (t *Training) loss(i int64, penalty float64, nan string) []byte {
	if at := i % period; at >= 123 && at <= 125 {
		return []byte(nan)
	}
	return appendFixed(nil, 2.5*math.Exp(-float64(i)/2000)+0.1+0.05*t.noise(i)+penalty)
}

// grad is infinite in two lines of a period.
func (t *Training) grad(i int64, inf, negInf string) []byte {
	switch i % period {
	case 249:
		return []byte(inf)
	case 499:
		return []byte(negInf)
	}
	return appendFixed(nil, 3+2*t.noise(i))
}

func (t *Training) accuracy(i int64) float64 {
	return min(max(1-math.Exp(-float64(i)/3000)+0.02*t.noise(i), 0), 1)
}

func learningRate(i int64) float64 { return 0.1 / (1 + float64(i)/10000) }
func valAccuracy(i int64) float64  { return 0.95 - 0.95*math.Exp(-float64(i)/4000) }

// noise is in -1..1 and depends on the line only (splitmix64).
func (t *Training) noise(i int64) float64 {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11)/(1<<52) - 1
}

// bestAccuracy is the best validation so far, NaN before the first: the curve only rises.
func (t *Training) bestAccuracy(now time.Time) float64 {
	n := t.count(now)
	if n < 50 {
		return math.NaN()
	}
	return valAccuracy(n/50*50 - 1)
}
