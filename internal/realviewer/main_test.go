package realviewer

import (
	"testing"

	"go.uber.org/goleak"
)

// lab has the Viewers of this package's tests.
var lab = NewLab(map[string]RunSpec{
	"extra": {Project: "extra", Name: "run", Summary: map[string]any{"score": 1.5}},
})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(lab.Around(m))
}
