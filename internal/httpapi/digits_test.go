package httpapi

import (
	"math"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestIntegersKeepTheirDigits(t *testing.T) {
	m := newNDJSONMarshaler(func(work func() error) error { return work() })
	for v, want := range map[float64]string{
		0: "0", 1e6: "1000000", 1 << 60: "1152921504606846976", -1 << 63: "-9223372036854775808", 1 << 65: "36893488147419103232",
		1e21: "1e+21", 0.30000000000000004: "0.30000000000000004", 1.2345678901234568e-5: "0.000012345678901234568", math.MaxFloat64: "1.7976931348623157e+308",
	} {
		series := &runicornapiv1.MetricSeries{MetricName: `a "1152921504606847000\`, Values: []float64{v, v}, Steps: []int64{1152921504606846977}}
		for _, message := range []any{series, map[string]any{"result": series}} {
			text, err := m.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"[" + want + "," + want + "]", `"a \"1152921504606847000\\"`, `["1152921504606846977"]`} {
				if !strings.Contains(strings.ReplaceAll(string(text), ", ", ","), part) {
					t.Errorf("%v: %s has no %s", v, text, part)
				}
			}
		}
	}
}
