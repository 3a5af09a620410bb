package search

import (
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxImages bounds the image keys of one run; further keys are ignored.
const maxImages = 1000

// Image aggregates the images that a run has logged with one key.
type Image struct {
	Key string
	// Count is the number of images.
	Count int64
	// Last is the image that was logged last; its Value is 0. If images have no steps, their
	// step is their index.
	Last Point
	// MaxPerStep is the maximum number of images at one step.
	MaxPerStep int64
	atLast     int64 // number of consecutive images at the last step
}

// ImageStep is the step of the n-th image of a key.
func ImageStep(m *eventlog.Media, n int64) int64 {
	if m.HasStep {
		return m.Step
	}
	return n
}

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

// images aggregates the images of a run, sorted by key.
type images struct {
	names func(string) string // interns keys
	byKey []Image
}

// add adds an image, in the order of the log.
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

// imagesOf aggregates images, in the order of the log.
func imagesOf(all []eventlog.Media, names func(string) string) []Image {
	sorted := images{names: names}
	for i := range all {
		_ = sorted.add(&all[i]) // always nil
	}
	return sorted.byKey
}

func (w *writer) image(i *Image) {
	w.text(i.Key)
	w.int(i.Count, i.MaxPerStep, i.atLast)
	w.point(i.Last)
}

func (d *reader) image() Image {
	return Image{Key: d.names(d.text()), Count: d.int(), MaxPerStep: d.int(), atLast: d.int(), Last: d.point()}
}
