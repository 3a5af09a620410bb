package filter_test

import (
	"fmt"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

var benchFilters = []struct{ name, text string }{
	{"Status", `status = RUNNING`},
	{"Words", `resnet prod`},
	{"Path", `path:"vision" create_time > 2026-01-31`},
	{"Metric", `metrics."train/loss".last < 0.1 AND (status = RUNNING OR tags:"prod")`},
	{"Summary", `summary.acc > 0.5 NOT summary.model:vit`},
}

// BenchmarkMatch evaluates filters over 100,000 records.
func BenchmarkMatch(b *testing.B) {
	const count = 100_000
	records := make([]*run, count)
	for i := range records {
		records[i] = runs[i%len(runs)]
	}
	for _, c := range benchFilters {
		b.Run(c.name, func(b *testing.B) {
			f, err := filter.Compile(c.text, newSchema())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, r := range records {
					f.Match(r)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/record")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	schema := newSchema()
	for _, c := range benchFilters {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := filter.Compile(c.text, schema); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMatch_DoesNotAllocate(t *testing.T) {
	for _, c := range benchFilters {
		f, err := filter.Compile(c.text, newSchema())
		if err != nil {
			t.Fatal(err)
		}
		if allocs := testing.AllocsPerRun(10, func() { selectedCount(f) }); allocs > 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

func selectedCount(f *filter.Filter[*run]) (n int) {
	for _, r := range runs {
		if f.Match(r) {
			n++
		}
	}
	return n
}

func Example() {
	type record struct {
		name string
		loss float64
	}
	schema := &filter.Schema[*record]{
		Fields: map[string]filter.Field[*record]{
			"name": {Sortable: true, Value: func(r *record) filter.Value { return filter.TextValue(r.name) }},
			"loss": {Kind: filter.Number, Sortable: true, Value: func(r *record) filter.Value { return filter.NumberValue(r.loss) }},
		},
		Search: func(r *record, contains func(string) bool) bool { return contains(r.name) },
	}
	f, err := filter.Compile(filter.And(`resnet loss < 0.1`, `name != `+filter.Quote("resnet 18")), schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range []*record{{"ResNet 50", 0.05}, {"resnet 18", 0.01}, {"vit", 0.02}} {
		fmt.Println(r.name, f.Match(r))
	}
	_, err = filter.Compile(`name = "vit" && loss < 1`, schema)
	fmt.Println(err)
	// Output:
	// ResNet 50 true
	// resnet 18 false
	// vit false
	// at character 14: "&" is not an operator: write AND
}
