package downsample_test

import (
	"fmt"
	"math"

	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
)

// A peak of one point is kept, whatever the limit.
func ExamplePick() {
	steps, values := make([]int64, 1000), make([]float64, 1000)
	for i := range steps {
		steps[i], values[i] = int64(i), math.Sin(float64(i)/100)
	}
	values[617] = 5
	for _, i := range downsample.Pick(steps, values, 5) {
		fmt.Printf("step %d: %.2f\n", steps[i], values[i])
	}
	// Output:
	// step 0: 0.00
	// step 471: -1.00
	// step 472: -1.00
	// step 617: 5.00
	// step 999: -0.54
}

// Texts have no shape: the points where they change are kept.
func ExamplePickChanges() {
	stages := []string{"warmup", "warmup", "warmup", "train", "train", "train", "train", "test", "test", "test"}
	for _, i := range downsample.PickChanges(stages, 4) {
		fmt.Println(i, stages[i])
	}
	// Output:
	// 0 warmup
	// 3 train
	// 7 test
	// 9 test
}
