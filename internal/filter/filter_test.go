package filter_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

// run is a record of the tests.
type run struct {
	id, project, name, path, alias, status string
	tags                                   []string
	created                                time.Time
	duration                               time.Duration
	summary                                map[string]filter.Value
	last                                   map[string]float64
	steps                                  int64
}

func newSchema() *filter.Schema[*run] {
	text := func(get func(*run) string) filter.Field[*run] {
		return filter.Field[*run]{Sortable: true, Value: func(r *run) filter.Value { return filter.OptionalText(get(r)) }}
	}
	path := text(func(r *run) string { return r.path })
	path.Kind = filter.Path
	status := text(func(r *run) string { return r.status })
	status.Kind, status.LongPrefix = filter.Enum, "EXPERIMENT_STATUS_"
	status.Words = []string{"RUNNING", "FINISHED", "FAILED", "INTERRUPTED", "OTHER"}
	return &filter.Schema[*run]{
		Fields: map[string]filter.Field[*run]{
			"run_id": text(func(r *run) string { return r.id }), "project": text(func(r *run) string { return r.project }),
			"name": text(func(r *run) string { return r.name }), "alias": text(func(r *run) string { return r.alias }),
			"path": path, "status": status,
			"tags": {Kind: filter.TextSet, Any: func(r *run, f func(string) bool) bool { return slices.ContainsFunc(r.tags, f) }},
			"create_time": {Kind: filter.Time, Sortable: true, Value: func(r *run) filter.Value {
				return filter.TimeValue(r.created)
			}},
			"duration": {Kind: filter.Duration, Value: func(r *run) filter.Value {
				if r.duration == 0 {
					return filter.Value{}
				}
				return filter.DurationValue(r.duration)
			}},
			"pinned":      {Kind: filter.Bool, Value: func(r *run) filter.Value { return filter.BoolValue(r.alias != "") }},
			"best_metric": {Kind: filter.Number, Sortable: true, OrderOnly: true, Value: metric([]string{"acc"}, "last")},
		},
		Families: map[string]filter.Family[*run]{
			"summary": {Kind: filter.Dynamic, Value: func(keys []string, _ string) func(*run) filter.Value {
				key := strings.Join(keys, ".")
				return func(r *run) filter.Value { return r.summary[key] }
			}},
			"metrics": {Kind: filter.Number, Sortable: true, Parts: []string{"last", "min", "max", "count", "last_step"}, Value: metric},
		},
		Search: func(r *run, contains func(string) bool) bool {
			return contains(r.path) || contains(r.name) || contains(r.alias) || contains(r.id) || slices.ContainsFunc(r.tags, contains)
		},
	}
}

func metric(keys []string, part string) func(*run) filter.Value {
	name := strings.Join(keys, ".")
	return func(r *run) filter.Value {
		v, ok := r.last[name]
		switch {
		case !ok:
			return filter.Value{}
		case part == "last_step":
			return filter.IntValue(r.steps)
		}
		return filter.NumberValue(v)
	}
}

// runs are identified by letters: a is the first.
var runs = []*run{
	{
		id: "20240101_120000_abcdef", project: "vision", name: "resnet-50", path: "vision/resnet-50", alias: "Best",
		status: "FINISHED", tags: []string{"prod", "Ünïcode"}, created: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), duration: 90 * time.Minute,
		summary: map[string]filter.Value{
			"acc": filter.NumberValue(0.9), "best acc": filter.IntValue(1), "opt.lr": filter.NumberValue(1e-4),
			"model": filter.TextValue("ResNet"), "ok": filter.BoolValue(true), "list": filter.OpaqueValue(), "n": filter.TextValue("50"),
		},
		last: map[string]float64{"acc": 0.9, "train/loss": 0.05}, steps: 1<<53 + 1,
	},
	{
		id: "20240102_120000_abcdef", project: "vision", name: "a AND b", path: "vision", status: "RUNNING",
		created: time.Date(2026, 2, 1, 12, 30, 0, 5, time.UTC),
		summary: map[string]filter.Value{"acc": filter.TextValue("high"), "ok": filter.BoolValue(false), "n": filter.IntValue(50)},
		last:    map[string]float64{"acc": math.NaN(), "train/loss": 0.5, "val.acc": -3}, steps: 1 << 53,
	},
	{id: "c", project: "visions", name: `say "hi"`, path: "visions/x", status: "FAILED", tags: []string{"dev"}},
	{id: "d", last: map[string]float64{"acc": math.Inf(1)}},
}

func selected(match func(*run) bool) string {
	var b strings.Builder
	for i, r := range runs {
		if match(r) {
			b.WriteByte(byte('a' + i))
		}
	}
	return b.String()
}

func TestCompile_SelectsRecords(t *testing.T) {
	for _, c := range []struct{ sentence, text, want string }{
		{"an empty filter selects everything", "", "abcd"},
		{"spaces are an empty filter", " \n\t ", "abcd"},

		{"a text equals exactly", `project = vision`, "ab"},
		{"case counts in an equality", `project = Vision`, ""},
		{"spaces around operators are optional", `project="vision"`, "ab"},
		{"a hyphen is part of a word", `name = resnet-50`, "a"},
		{"a run id needs no quotes", `run_id = 20240101_120000_abcdef`, "a"},
		{"a quoted value may look like an operator", `name = "a AND b"`, "b"},
		{"a quote is escaped by a backslash", `name = "say \"hi\""`, "c"},
		{"backticks have no escapes", "name = `say \"hi\"`", "c"},
		{"a text field takes a number as a text", `name != 50`, "abc"},
		{"texts are ordered by their bytes", `project >= visions`, "c"},
		{"has is a part of a text in any case", `name:RESNET`, "a"},

		{"= does not match a missing text", `alias = ""`, ""},
		{"!= does not match a missing text", `alias != "x"`, "a"},
		{"NOT of a comparison with a missing text is true", `NOT alias = "x"`, "abcd"},
		{"a star tests for presence", `alias:*`, "a"},
		{"NOT presence is absence", `NOT alias:*`, "bcd"},
		{"a quoted star is a text", `alias:"*"`, ""},

		{"path has means the path and all below it", `path:"vision"`, "ab"},
		{"slashes around a path do not count", `path:"/vision/"`, "ab"},
		{"a path with a slash and a star is below it", `path = "vision/*"`, "a"},
		{"a path with a star is a prefix", `path = "vision*"`, "abc"},
		{"a pattern needs no quotes", `path = vision/*`, "a"},
		{"a path outside of a prefix", `path != "vision/*"`, "bc"},
		{"an escaped star is a character", `path = "vision\*"`, ""},
		{"a path equals exactly", `path = vision`, "b"},
		{"a path is present", `path:*`, "abc"},

		{"a tag is there", `tags:"prod"`, "a"},
		{"case counts in a tag", `tags:PROD`, ""},
		{"any tag is there", `tags:*`, "ac"},
		{"no tag is there", `-tags:*`, "bd"},

		{"a status by its word", `status = RUNNING`, "b"},
		{"a status by its long word", `status = EXPERIMENT_STATUS_RUNNING`, "b"},
		{"another status, known ones only", `status != RUNNING`, "ac"},
		{"has works for a status", `status:FAILED`, "c"},

		{"a bare date is midnight in UTC", `create_time = 2026-01-31`, "a"},
		{"a bare time holds colons", `create_time > 2026-01-31T00:00:00Z`, "b"},
		{"a time has an offset", `create_time >= 2026-01-31T02:00:00+02:00`, "ab"},
		{"a time may be quoted", `create_time < "2026-02-01"`, "a"},
		{"nanoseconds count", `create_time > 2026-02-01T12:30:00.000000004Z`, "b"},
		{"a time is present", `create_time:*`, "ab"},
		{"a duration in hours", `duration = 1.5h`, "a"},
		{"a duration in minutes", `duration >= 91m`, ""},
		{"a missing duration is not short", `duration < 1000h`, "a"},
		{"a boolean field", `pinned = true`, "a"},
		{"another boolean", `pinned != true`, "bcd"},

		{"a metric with a quoted name", `metrics."train/loss".last < 0.1`, "a"},
		{"a metric whose name needs no quotes", `metrics.train/loss.last < 0.1`, "a"},
		{"a metric with a dot", `metrics.val.acc.last = -3`, "b"},
		{"a metric with a quoted dot", `metrics."val.acc".last = -3.0`, "b"},
		{"NaN is not greater", `metrics.acc.last > 0`, "ad"},
		{"NaN is not different", `metrics.acc.last != 0`, "ad"},
		{"NaN negated", `NOT metrics.acc.last > 0`, "bc"},
		{"NaN is present", `metrics.acc:*`, "abd"},
		{"NaN is not equal to NaN", `metrics.acc.last = NaN`, ""},
		{"an infinite number", `metrics.acc.last = +Inf`, "d"},
		{"integers beyond 2^53 are exact", `metrics.acc.last_step > 9007199254740992`, "a"},
		{"integers compare exactly with floating point", `metrics.acc.last_step > 9007199254740992.0`, "a"},
		{"exponents", `summary.opt.lr = 1e-4`, "a"},

		{"a free value is a number", `summary.acc > 0.5`, "a"},
		{"a free value is a text", `summary.acc = high`, "b"},
		{"a free value of another kind is not different", `summary.acc != high`, ""},
		{"a free value in backticks", "summary.`best acc` = 1.0", "a"},
		{"the spelling decides between number and text", `summary.n = 50`, "b"},
		{"quotes make a text", `summary.n = "50"`, "a"},
		{"a free boolean", `summary.ok = true`, "a"},
		{"a part of a free text", `summary.model:net`, "a"},
		{"a list is present", `summary.list:*`, "a"},
		{"a list is not comparable", `summary.list != 1`, ""},

		{"a word searches all texts", `VISION`, "abc"},
		{"a word searches tags, beyond ASCII too", `üNÏ`, "a"},
		{"a quoted text is searched whole", `"a and"`, "b"},
		{"a field's name can be searched", `name`, ""},
		{"a hyphen negates", `-vision`, "d"},
		{"a hyphen negates a comparison", `-project = vision`, "cd"},
		{"a keyword is quoted to be searched", `"AND"`, "b"},

		{"terms side by side must all hold", `vision status = RUNNING`, "b"},
		{"AND", `project = vision AND tags:prod`, "a"},
		{"OR", `status = RUNNING OR status = FAILED`, "bc"},
		{"parentheses", `vision AND (status = RUNNING OR tags:prod)`, "ab"},
		{"NOT of a group", `NOT (status = RUNNING OR status = FAILED)`, "ad"},
		{"NOT twice", `NOT NOT resnet`, "a"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			f, err := filter.Compile(c.text, newSchema())
			if err != nil {
				t.Fatalf("%s: %v", c.text, err)
			}
			if got := selected(f.Match); got != c.want {
				t.Errorf("%s selects %q, want %q", c.text, got, c.want)
			}
		})
	}
}

func TestNeeds_ListsFieldsAndKeys(t *testing.T) {
	f, err := filter.Compile(`metrics.b.last < 1 metrics."a/x":* metrics.b.min > 0 (status = RUNNING OR resnet) name:x`, newSchema())
	if err != nil {
		t.Fatal(err)
	}
	got := f.Needs()
	if !slices.Equal(got.Fields, []string{"name", "status"}) || !slices.Equal(got.Keys["metrics"], []string{"a/x", "b"}) || len(got.Keys) != 1 || !got.Search {
		t.Errorf("needs %+v", got)
	}
	o, err := filter.ParseOrder(`metrics.c.last desc, name`, newSchema())
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Needs(); !slices.Equal(got.Fields, []string{"name"}) || !slices.Equal(got.Keys["metrics"], []string{"c"}) || got.Search {
		t.Errorf("order needs %+v", got)
	}
}

func TestOrder_PutsMissingValuesLast(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "abcd"},
		{"name", "bacd"},
		{"name desc", "cabd"},
		{"create_time", "abcd"},
		{"create_time desc", "bacd"},
		{"status", "bacd"},
		{"status desc", "cabd"},
		{"project desc, create_time desc", "cbad"},
		{"project asc,run_id desc", "bacd"},
		{"best_metric", "adbc"},
		{"best_metric desc", "dabc"},
		{`metrics."train/loss".last desc`, "bacd"},
		{"metrics.acc.last_step", "dbac"},
	} {
		t.Run(c.text, func(t *testing.T) {
			o, err := filter.ParseOrder(c.text, newSchema())
			if err != nil {
				t.Fatal(err)
			}
			sorted := slices.Clone(runs)
			slices.SortStableFunc(sorted, o.Compare)
			var got strings.Builder
			for _, r := range sorted {
				got.WriteByte(byte('a' + slices.Index(runs, r)))
			}
			if got.String() != c.want {
				t.Errorf("got %s, want %s", got.String(), c.want)
			}
		})
	}
}

func TestValue_EncodingRoundTrip(t *testing.T) {
	for _, v := range []filter.Value{
		{},
		filter.TextValue("a\x00b"), filter.NumberValue(-0.5), filter.IntValue(-1 << 63), filter.BoolValue(true),
		filter.TimeValue(time.Date(1, 1, 1, 0, 0, 0, 999999999, time.UTC)), filter.DurationValue(-time.Second), filter.OpaqueValue(),
	} {
		b := append(v.Append(nil), "rest"...)
		got, rest, ok := filter.ReadValue(b)
		if !ok || got != v || string(rest) != "rest" {
			t.Errorf("got %v, %q, %v, want %v", got, rest, ok, v)
		}
		for n := range len(b) - len("rest") {
			if _, _, ok := filter.ReadValue(b[:n]); ok {
				t.Errorf("%v: %d bytes are accepted", v, n)
			}
		}
	}
}
