package convert

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

func TestLastValue_keepsItsDigitsInJSON(t *testing.T) {
	for _, test := range []struct {
		name string
		cell eventlog.Cell
		want string
	}{
		{"an integer that a double holds", eventlog.Cell{Number: 1 << 60}, `{"integer":"1152921504606846976"}`},
		{"a negative one", eventlog.Cell{Number: -(1 << 60)}, `{"integer":"-1152921504606846976"}`},
		{"one that a double rounds", eventlog.Cell{Number: 1 << 60, Exact: "1152921504606846977"}, `{"integer":"1152921504606846977"}`},
		{"one beyond 64 bits", eventlog.Cell{Number: 1 << 70, Exact: "1180591620717411303425"}, `{"json":"1180591620717411303425"}`},
		{"a small one", eventlog.Cell{Number: 1 << 53}, `{"number":9007199254740992}`},
		{"a number", eventlog.Cell{Number: 0.5}, `{"number":0.5}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cell.Kind = eventlog.KindNumber
			got, err := protojson.Marshal(lastValue(&test.cell))
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}
