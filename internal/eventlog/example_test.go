package eventlog_test

import (
	"fmt"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// sampleLog ends within a line, like a file that is being written.
const sampleLog = `{"ts": 1795446718.5, "type": "metrics", "data": {"global_step": 1, "loss": 0.5, "stage": "warmup"}}
{"ts": 1795446719.5, "type": "metrics", "data": {"global_step": 2, "loss": NaN}}
{"ts": 1795446720.5, "type": "image", "data": {"key": "sample", "path": "media/1.png", "step": 2}}
this is not JSON
{"ts": 1795446721.5, "type": "metrics", "data": {"global_step": 1, "loss": 0.25}}
{"ts": 1795446722.5, "type": "metr`

// A Parser parses the complete lines of a chunk and returns how many bytes it has consumed.
// The caller passes the rest again, before the next chunk.
func ExampleParser() {
	var parser eventlog.Parser
	consumed, err := parser.Parse([]byte(sampleLog), 0, eventlog.Handler{
		Row: func(row *eventlog.Row) error {
			for _, c := range row.Cells {
				if c.Kind == eventlog.KindText {
					fmt.Printf("offset %d, step %d: %s = %q\n", row.Position, row.Step, c.Name, c.Text)
				} else {
					fmt.Printf("offset %d, step %d: %s = %v\n", row.Position, row.Step, c.Name, c.Number)
				}
			}
			return nil
		},
		Media: func(m *eventlog.Media) error {
			fmt.Printf("image %s at step %d: %s\n", m.Key, m.Step, m.Path)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q is left, %d malformed line\n", sampleLog[consumed:], parser.Counts().MalformedLines)
	// Output:
	// offset 0, step 1: loss = 0.5
	// offset 0, step 1: stage = "warmup"
	// offset 100, step 2: loss = NaN
	// image sample at step 2: media/1.png
	// offset 297, step 1: loss = 0.25
	// "{\"ts\": 1795446722.5, \"type\": \"metr" is left, 1 malformed line
}

// A Batch has the points in log order.
func ExampleBatch() {
	batch := eventlog.NewBatch(eventlog.Selection{Names: []string{"loss"}})
	var parser eventlog.Parser
	_, err := parser.Parse([]byte(sampleLog), 0, eventlog.Handler{Row: func(row *eventlog.Row) error {
		batch.Append(row)
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range batch.Series() {
		fmt.Println(s.Name, s.Steps, s.Values)
	}
	// Output:
	// loss [1 2 1] [0.5 NaN 0.25]
}

// A Table merges points: one value per step and metric; the last one logged wins.
func ExampleTable() {
	table := eventlog.NewTable()
	var parser eventlog.Parser
	_, err := parser.Parse([]byte(sampleLog), 0, eventlog.Handler{Row: func(row *eventlog.Row) error {
		table.Put(row)
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	table.Compact()
	for _, s := range table.Series(eventlog.Selection{}) {
		fmt.Println(s.Name, s.Steps, s.Values, s.Texts)
	}
	// Output:
	// loss [1 2] [0.25 NaN] []
	// stage [1] [] [warmup]
}
