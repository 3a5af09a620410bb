package downsample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var nan, inf = math.NaN(), math.Inf(1)

func TestPick(t *testing.T) {
	spike := make([]float64, 1000)
	spike[501], spike[502] = 7, -9
	gaps := make([]float64, 100)
	for i := 10; i < 20; i++ {
		gaps[i], gaps[i+30] = nan, inf
	}
	for _, test := range []struct {
		name      string
		values    []float64
		maxPoints int
		want      []int
	}{
		{"an empty series stays empty", nil, 5, nil},
		{"no points are wanted", []float64{1}, 0, nil},
		{"a series that fits is whole", []float64{1, nan, 3}, 3, []int{0, 1, 2}},
		{"one point is the first", []float64{1, 2, 3}, 1, []int{0}},
		{"two are the first and the last", []float64{1, 2, 3}, 2, []int{0, 2}},
		{"the third is the lowest", []float64{0, 5, -5, 0}, 3, []int{0, 2, 3}},
		{"a spike of one point stays, both ways", spike, 4, []int{0, 501, 502, 999}},
		{"the ends of runs of non-finite values are kept", gaps, 6, []int{0, 10, 19, 40, 49, 99}},
		{"of too many ends an evenly spread part stays", []float64{0, nan, 0, nan, 0, nan, 0, nan, 0, nan, 0}, 4, []int{0, 1, 5, 10}},
		{"without a finite value only the ends are kept", []float64{nan, nan, inf, nan, nan}, 4, []int{0, 4}},
		{"a lone value between ends that are none stays", []float64{nan, nan, nan, 1, nan, nan}, 5, []int{0, 2, 3, 4, 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			steps := make([]int64, len(test.values))
			for i := range steps {
				steps[i] = int64(i)
			}
			got := Pick(steps, test.values, test.maxPoints)
			checkPicked(t, test.values, test.maxPoints, got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPickChanges(t *testing.T) {
	for _, test := range []struct {
		name      string
		values    []string
		maxPoints int
		want      []int
	}{
		{"a series that fits is whole", []string{"a", "a"}, 2, []int{0, 1}},
		{"no points are wanted", []string{"a"}, 0, nil},
		{"first and last have priority", []string{"a", "b", "c"}, 2, []int{0, 2}},
		{"then the changes", []string{"a", "a", "a", "b", "b", "b", "c", "c", "c"}, 4, []int{0, 3, 6, 8}},
		{"then what was before them", []string{"a", "a", "a", "b", "b", "b", "c", "c", "c"}, 6, []int{0, 2, 3, 5, 6, 8}},
		{"then others", []string{"a", "a", "a", "a", "a", "a", "a"}, 4, []int{0, 1, 3, 6}},
		{"of too many changes an evenly spread part stays", []string{"a", "b", "c", "d", "e", "f", "g", "h"}, 4, []int{0, 1, 4, 7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, PickChanges(test.values, test.maxPoints)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPick_ReturnsMaxPoints(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	steps, values := make([]int64, 10_000), make([]float64, 10_000)
	for i := range values {
		steps[i], values[i] = int64(i)*10, random.NormFloat64()
		if i > 0 {
			values[i] += values[i-1]
		}
	}
	for _, maxPoints := range []int{5, 10, 100, 999, 5000, 9999} {
		if got := Pick(steps, values, maxPoints); len(got) != maxPoints {
			t.Errorf("Pick of %d points gives %d", maxPoints, len(got))
		}
	}
}

func TestPick_AcceptsAnyFloat64(t *testing.T) {
	values := make([]float64, 1000)
	steps := make([]int64, len(values))
	for i := range values {
		values[i] = math.MaxFloat64 * float64(1-i%3)
		steps[i] = math.MaxInt64 - int64(i%2)*math.MaxInt64
	}
	checkPicked(t, values, 50, Pick(steps, values, 50))
}

// checkPicked checks the guarantees of Pick.
func checkPicked(t *testing.T, values []float64, maxPoints int, got []int) {
	t.Helper()
	if len(got) > max(maxPoints, 0) {
		t.Fatalf("%d points, more than %d", len(got), maxPoints)
	}
	for i, index := range got {
		if index < 0 || index >= len(values) || i > 0 && index <= got[i-1] {
			t.Fatalf("the indices do not ascend within the series: %v", got)
		}
	}
	if len(values) == 0 || maxPoints < 4 {
		return
	}
	has := func(index int) bool {
		_, ok := slices.BinarySearch(got, index)
		return ok
	}
	if !has(0) || !has(len(values)-1) {
		t.Errorf("the first or the last point is missing: %v", got)
	}
	finite := func(indices []int) (finite []float64) {
		for _, i := range indices {
			if isFinite(values[i]) {
				finite = append(finite, values[i])
			}
		}
		return finite
	}
	all := make([]int, len(values))
	for i := range all {
		all[i] = i
	}
	if want, kept := finite(all), finite(got); len(want) > 0 {
		if len(kept) == 0 || slices.Min(kept) != slices.Min(want) || slices.Max(kept) != slices.Max(want) {
			t.Errorf("the lowest or the highest point is missing: %v", got)
		}
	}
	edges := slices.DeleteFunc(all, func(i int) bool {
		return isFinite(values[i]) || i > 0 && i < len(values)-1 && !isFinite(values[i-1]) && !isFinite(values[i+1])
	})
	kept := len(slices.DeleteFunc(slices.Clone(edges), func(i int) bool { return !has(i) }))
	if kept < min(len(edges), maxPoints-4) {
		t.Errorf("%d of %d edges are kept", kept, len(edges))
	}
}

func FuzzPick(f *testing.F) {
	f.Add([]byte{0, 1, 2, 255, 254, 253, 9, 9, 9, 9, 9}, 5)
	f.Add([]byte("a series with some shape, 253 \xff\xff\xfe and gaps \xfd"), 9)
	f.Fuzz(func(t *testing.T, b []byte, maxPoints int) {
		steps, values := make([]int64, len(b)), make([]float64, len(b))
		for i, c := range b {
			steps[i] = int64(i) * int64(c%7)
			switch c {
			case 255:
				values[i] = nan
			case 254:
				values[i] = inf
			case 253:
				values[i] = -inf
			case 252:
				values[i] = math.MaxFloat64
			default:
				values[i] = float64(int(c) - 100)
			}
		}
		got := Pick(steps, values, maxPoints)
		checkPicked(t, values, maxPoints, got)
		if again := Pick(steps, values, maxPoints); !slices.Equal(got, again) {
			t.Errorf("asked twice: %v and %v", got, again)
		}
		changes := PickChanges(b, maxPoints)
		if want := min(len(b), max(maxPoints, 0)); len(changes) != want || !slices.IsSorted(changes) || len(slices.Compact(changes)) != want {
			t.Errorf("PickChanges = %v, want %d points", changes, want)
		}
	})
}

func BenchmarkPick(b *testing.B) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	steps, values := make([]int64, n), make([]float64, n)
	for i := range values {
		steps[i], values[i] = int64(i), random.NormFloat64()
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Pick(steps, values, 1000)) != 1000 {
			b.Fatal("points are missing")
		}
	}
}
