package logbatch

import (
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestBatch_Select(t *testing.T) {
	var b *Batch
	c := NewBatcher(false, runsource.Position{Origin: runsource.FromEventLog}, func(made *Batch) { b = made })
	if _, err := c.AddChunk([]byte(`{"type":"metrics","data":{"a":1,"b/c":2,"global_step":1}}` + "\n" + `{"type":"metrics","data":{"a":3,"b/c":9007199254740993,"global_step":2}}` + "\n")); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	two := int64(2)
	got := b.Select(eventlog.Selection{Prefixes: []string{"b/"}, MinStep: &two})
	if len(got) != 1 || got[0].Name != "b/c" || len(got[0].Steps) != 1 || got[0].Steps[0] != 2 || len(got[0].Exact) != 1 || got[0].Exact[0].Index != 0 {
		t.Errorf("selected %+v", got)
	}
	if len(b.Select(eventlog.Selection{})) != 2 || len(b.Select(eventlog.Selection{Names: []string{"x"}})) != 0 {
		t.Error("all is two series, and a name that is not there is none")
	}
}

// BenchmarkBatcher makes batches of a log, as a poller and the history do.
func BenchmarkBatcher(b *testing.B) {
	file := []byte(runsourcetest.Lines(0, 100_000))
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		c := NewBatcher(false, runsource.Position{Origin: runsource.FromEventLog}, func(*Batch) {})
		if _, err := c.AddChunk(file); err != nil {
			b.Fatal(err)
		}
	}
}
