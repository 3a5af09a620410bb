package search

import (
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxImages bounds the keys of images of one run that are held; others are left out.
const maxImages = 1000

// Image sums up the images that a run has logged under one key.
type Image struct {
	Key string
	// Count is how many there are.
	Count int64
	// Last is the one that was logged last; its Value is 0. Without steps, images are
	// numbered.
	Last Point
	// MaxPerStep is how many one step has at most.
	MaxPerStep int64
	atLast     int64 // how many were logged at the last step in a row
}

// ImageStep is the step of an image, which is the n-th of its key.
func ImageStep(m *eventlog.Media, n int64) int64 {
	if m.HasStep {
		return m.Step
	}
	return n
}

// add counts an image.
func (i *Image) add(m *eventlog.Media) {
	step := ImageStep(m, i.Count)
	if i.Count == 0 || step != i.Last.Step {
		i.atLast = 0
	}
	i.Count++
	i.atLast++
	i.MaxPerStep = max(i.MaxPerStep, i.atLast)
	i.Last.Step = step
	if m.HasTime {
		i.Last.Time = m.Time
	}
}

func compareImages(a, b Image) int { return strings.Compare(a.Key, b.Key) }

// images sums up the images of a run by key, sorted.
type images struct {
	names func(string) string // shares keys among runs
	byKey []Image
}

// add takes an image in the order of the log.
func (d *images) add(m *eventlog.Media) error {
	at, ok := slices.BinarySearchFunc(d.byKey, Image{Key: m.Key}, compareImages)
	if !ok {
		if len(d.byKey) >= maxImages {
			return nil
		}
		d.byKey = slices.Insert(d.byKey, at, Image{Key: d.names(m.Key)})
	}
	d.byKey[at].add(m)
	return nil
}

// imagesOf sums up images in the order of logging.
func imagesOf(all []eventlog.Media, names func(string) string) []Image {
	sums := images{names: names}
	for i := range all {
		_ = sums.add(&all[i]) // it has no error
	}
	return sums.byKey
}

func (w *writer) image(i *Image) {
	w.text(i.Key)
	w.int(i.Count, i.MaxPerStep, i.atLast)
	w.point(i.Last)
}

func (d *reader) image() Image {
	return Image{Key: d.names(d.text()), Count: d.int(), MaxPerStep: d.int(), atLast: d.int(), Last: d.point()}
}
