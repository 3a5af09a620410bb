// Package convert converts what restclient, eventlog and the run packages read to
// messages. It holds the pure conversions that several services use.
package convert

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// AsTime returns the time of a timestamp, the zero time if it is nil.
func AsTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// Value converts a free-form value. A null becomes JSON text, so that its key is not
// lost.
func Value(v restclient.Value) *runicornapiv1.Value {
	switch v.Kind {
	case restclient.ValueNumber:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Number{Number: v.Number}}
	case restclient.ValueInteger:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: v.Integer}}
	case restclient.ValueBool:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Boolean{Boolean: v.Bool}}
	case restclient.ValueText:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: Text(v.Text)}}
	case restclient.ValueDecimal, restclient.ValueJSON:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Json{Json: CompactJSON(Text(v.Text))}}
	}
	return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Json{Json: "null"}}
}

// CompactJSON removes insignificant whitespace: the SDK indents its files.
func CompactJSON(text string) string {
	raw := jsontext.Value(text)
	if raw.Compact() != nil {
		return text
	}
	return string(raw)
}

// Values converts a free-form map.
func Values(values restclient.Values) map[string]*runicornapiv1.Value {
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]*runicornapiv1.Value, len(values))
	for key, v := range values {
		out[Text(key)] = Value(v)
	}
	return out
}

// IsFinite reports whether a number is neither NaN nor ±Inf.
func IsFinite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

// Finite returns the value as a number, nil if it is not a finite number.
func Finite(v restclient.Value) *float64 {
	n := v.Number
	switch v.Kind {
	case restclient.ValueInteger:
		n = float64(v.Integer)
	case restclient.ValueNumber, restclient.ValueDecimal:
	default:
		return nil
	}
	if !IsFinite(n) {
		return nil
	}
	return &n
}

// Time converts a time; the zero time becomes nil.
func Time(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// UnixTime converts seconds since the epoch; the result is nil if a Timestamp cannot hold
// the time.
func UnixTime(seconds float64) *timestamppb.Timestamp {
	whole := math.Floor(seconds)
	if !(whole >= -62135596800 && whole <= 253402300799) { // NaN too
		return nil
	}
	return &timestamppb.Timestamp{Seconds: int64(whole), Nanos: int32((seconds - whole) * 1e9)}
}

// Newest returns the latest of the times, the zero time if all are zero.
func Newest(times ...time.Time) time.Time {
	return slices.MaxFunc(append([]time.Time{{}}, times...), time.Time.Compare)
}

// Int32 converts a count that may be unknown.
func Int32(n restclient.Int) *int32 {
	if !n.Known {
		return nil
	}
	return new(Clamp32(n.Value))
}

// Int64 converts a number that may be unknown.
func Int64(n restclient.Int) *int64 {
	if !n.Known {
		return nil
	}
	return &n.Value
}

// Float converts a number that may be unknown.
func Float(n restclient.Float) *float64 {
	if !n.Known {
		return nil
	}
	return &n.Value
}

// Clamp32 converts a count to int32, and limits it to the range of int32.
func Clamp32(n int64) int32 {
	return int32(max(math.MinInt32, min(n, math.MaxInt32))) //nolint:gosec // it is within the bounds
}

// Text replaces invalid UTF-8, which a proto string must not have.
func Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// HostKey converts the key of an SSH server.
func HostKey(k *restclient.HostKey) *runicornapiv1.HostKey {
	return &runicornapiv1.HostKey{
		Host: Text(k.Host), Port: Clamp32(int64(k.Port)), KeyType: Text(k.KeyType),
		PublicKey: Text(k.PublicKey), FingerprintSha256: Text(k.Fingerprint),
		KnownHostsHost: Text(k.KnownHostsHost), ExpectedFingerprintSha256: Text(k.ExpectedFingerprint),
	}
}

// statuses maps the Viewer's words for the status of a run. The recycle bin of 0.5.3
// reports "unknown" for a run whose status it has lost.
var statuses = map[string]runicornapiv1.ExperimentStatus{
	"":            runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"unknown":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"running":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING,
	"finished":    runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED,
	"failed":      runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED,
	"interrupted": runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED,
}

// Status converts a Viewer's word; words that a training script made up become OTHER.
func Status(text string) runicornapiv1.ExperimentStatus {
	if s, ok := statuses[text]; ok {
		return s
	}
	return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER
}

// IsKnownStatus reports whether a Viewer's word is one that the SDK writes.
func IsKnownStatus(text string) bool {
	_, ok := statuses[text]
	return ok
}
