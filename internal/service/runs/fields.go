package runs

import (
	"errors"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// statusPrefix is the prefix of statuses in the contract.
const statusPrefix = "EXPERIMENT_STATUS_"

// statusWords are the statuses in filters, in sort order.
var statusWords = []string{"RUNNING", "FINISHED", "FAILED", "INTERRUPTED", "OTHER"}

// entryFields are the fields of filters and orders: those of a Viewer's list, and late
// fields, which need a record of the search index.
var entryFields = &filter.Schema[*Entry]{
	Fields: map[string]filter.Field[*Entry]{
		"viewer":      textField(filter.Text, func(e *Entry) string { return e.Viewer.Name }),
		"run_id":      textField(filter.Text, func(e *Entry) string { return e.Run.ID }),
		"project":     textField(filter.Text, func(e *Entry) string { return e.Project }),
		"name":        textField(filter.Text, func(e *Entry) string { return e.Name }),
		"path":        textField(filter.Path, func(e *Entry) string { return e.Path }),
		"alias":       textField(filter.Text, func(e *Entry) string { return e.Run.Alias.Value }),
		"tags":        {Kind: filter.TextSet, Any: anyTag},
		"status":      {Kind: filter.Enum, Words: statusWords, LongPrefix: statusPrefix, Value: statusValue, Sortable: true},
		"create_time": {Kind: filter.Time, Value: func(e *Entry) filter.Value { return filter.TimeValue(e.Run.CreatedTime.Time) }, Sortable: true},
		"start_time":  lateField(filter.Time, func(e *Entry) filter.Value { return filter.TimeValue(e.Record.Start) }),
		"end_time":    lateField(filter.Time, func(e *Entry) filter.Value { return filter.TimeValue(e.Record.End) }),
		"duration":    lateField(filter.Duration, durationValue),
		"best_metric": {Kind: filter.Number, Value: bestValue, Sortable: true, OrderOnly: true},
	},
	Families: map[string]filter.Family[*Entry]{
		"summary": {Kind: filter.Dynamic, Sortable: true, Late: true, Value: documentValue((*search.Record).Summary)},
		"config":  {Kind: filter.Dynamic, Sortable: true, Late: true, Value: documentValue((*search.Record).Config)},
		"metrics": {
			Kind: filter.Number, Parts: []string{"last", "min", "max", "count", "first_step", "last_step"},
			PartKinds: map[string]filter.Kind{"last": filter.Dynamic}, Sortable: true, Late: true, Value: metricValue,
		},
	},
	Search: func(e *Entry, contains func(string) bool) bool {
		return contains(e.Path) || contains(e.Name) || contains(e.Run.Alias.Value) || contains(e.Run.ID) || anyTag(e, contains)
	},
}

// textField is a field of the list; an empty text means that it is missing.
func textField(kind filter.Kind, text func(*Entry) string) filter.Field[*Entry] {
	return filter.Field[*Entry]{Kind: kind, Sortable: true, Value: func(e *Entry) filter.Value { return filter.OptionalText(text(e)) }}
}

func anyTag(e *Entry, matcher func(string) bool) bool {
	return slices.ContainsFunc(e.Run.Tags, func(tag restclient.Text) bool { return matcher(tag.Value) })
}

// statusValue is the status of a run as a word; an unknown status is missing.
func statusValue(e *Entry) filter.Value {
	if s := convert.Status(e.Run.Status.Value); s != runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED {
		return filter.TextValue(statusWords[s-1])
	}
	return filter.Value{}
}

func bestValue(e *Entry) filter.Value {
	if !e.Run.BestMetricValue.Known {
		return filter.Value{}
	}
	return filter.NumberValue(e.Run.BestMetricValue.Value)
}

// NewMatcher compiles the filter of a request; an empty one selects every run.
func NewMatcher(text string) (*filter.Filter[*Entry], error) {
	f, err := filter.Compile(text, entryFields)
	if err != nil {
		return nil, invalidExpression("filter", err)
	}
	return f, nil
}

// NewOrder compiles the order_by of a request; empty means newest first.
func NewOrder(text string) (*filter.Order[*Entry], error) {
	o, err := filter.ParseOrder(text, entryFields)
	if err == nil && len(o.Keys) == 0 {
		o, err = filter.ParseOrder("create_time desc", entryFields)
	}
	if err != nil {
		return nil, invalidExpression("order_by", err)
	}
	return o, nil
}

// invalidExpression is the error for a filter or an order, with the position of the error
// in the text.
func invalidExpression(field string, err error) error {
	if mistake, ok := errors.AsType[*filter.Error](err); ok {
		return apierr.Invalid(field, "%s", mistake.Error())
	}
	return apierr.Invalid(field, "%v", err)
}
