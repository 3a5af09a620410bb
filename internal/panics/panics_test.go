package panics

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

type request struct{ password string }

func (r *request) String() string { return r.password }

func TestError_OmitsTheValue(t *testing.T) {
	t.Parallel()
	r := &request{password: "canary"}
	var none map[string]string
	for _, tt := range []struct {
		name  string
		panic func()
		want  string
	}{
		{"a request", func() { panic(r) }, "panic with a value of type *panics.request"},
		{"a copy of it", func() { panic(*r) }, "panic with a value of type panics.request"},
		{"its text", func() { panic(r.String()) }, "panic with a value of type string"},
		{"an error about it", func() { panic(fmt.Errorf("bad: %w", errors.New(r.password))) }, "panic with a value of type *fmt.wrapError"},
		{"an index out of range", func() { _ = r.password[len(r.password):][0] }, "panic: runtime error: index out of range [0] with length 0"},
		{"a nil map", func() { none[r.password] = "" }, "panic: assignment to entry in nil map"},
		{"a wrong type", func() { _ = any(r.password).(error) }, "panic: interface conversion: string is not error: missing method Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got := Error(recover()).Error(); got != tt.want || strings.Contains(got, "canary") {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}()
			tt.panic()
		})
	}
}

func TestCapturedError_ReportsItsOrigin(t *testing.T) {
	t.Parallel()
	var captured *CapturedError
	func() {
		defer func() { captured = Capture(recover()) }()
		panicsHere("canary")
	}()
	defer func() {
		got := Error(recover()).Error()
		if !strings.Contains(got, "panic with a value of type string") || !strings.Contains(got, "panicsHere") || strings.Contains(got, "canary") {
			t.Errorf("got %q", got)
		}
	}()
	panic(captured)
}

func panicsHere(value string) { panic(value) }
