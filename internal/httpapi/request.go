package httpapi

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type violations []*errdetails.BadRequest_FieldViolation

// forwardedHeaders are the request headers that grpc-gateway gets. metadataHeaders are
// those that become metadata besides Authorization. X-Forwarded-For and -Host are left
// out: grpc-gateway would pass on what the caller claims.
var (
	metadataHeaders  = []string{"Traceparent", "Tracestate"}
	forwardedHeaders = append([]string{"Authorization", "Content-Type", "Grpc-Timeout"}, metadataHeaders...)
)

// prepare checks a request against its route and returns the request for grpc-gateway.
// grpc-gateway alone would ignore unknown fields, and report invalid ones only as text
// that includes the rejected value, which may be a password.
func (rt *route) prepare(w http.ResponseWriter, r *http.Request, params map[string]string, maxBody int64) (*http.Request, error) {
	raw, err := readBody(w, r, maxBody)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid(violation("", "the query is not properly escaped"))
	}
	lastID := ""
	if rt.token != nil {
		lastID = r.Header.Get("Last-Event-ID")
	}
	if lastID != "" && rt.content == nil {
		rt.resumeQuery(query, lastID)
	}
	rt.expandEnums(query)
	bad := append(rt.checkPath(params), rt.checkQuery(query)...)
	raw, more := rt.checkBody(raw, params, lastID)
	if bad = append(bad, more...); len(bad) > 0 {
		return nil, invalid(bad...)
	}

	out := r.WithContext(r.Context())
	u := *r.URL
	u.RawQuery = query.Encode()
	out.URL = &u
	out.Header = make(http.Header, len(forwardedHeaders))
	for _, key := range forwardedHeaders {
		if values := r.Header.Values(key); len(values) > 0 {
			out.Header[key] = values
		}
	}
	out.Host = "" // otherwise it would become metadata
	out.Body = io.NopCloser(bytes.NewReader(raw))
	out.ContentLength = int64(len(raw))
	return out, nil
}

// checkPath refuses ids with a slash, escaped once or twice: no id has one, and a proxy
// that decodes it would select another route. Only a resource name, which may replace a
// run id everywhere, has slashes.
func (rt *route) checkPath(params map[string]string) (bad violations) {
	for _, name := range rt.params {
		value := params[name]
		isResource := lastName(name) == "run_id" && strings.HasPrefix(value, "viewers/")
		switch {
		case strings.Contains(value, "/") && !isResource, strings.Contains(strings.ToLower(value), "%2f"):
			bad = append(bad, violation(name, "must not contain a slash, unless it is viewers/{viewer}/experiments/{run_id}"))
		case !utf8.ValidString(value):
			bad = append(bad, violation(name, "must be valid UTF-8"))
		}
	}
	return bad
}

// checkQuery refuses parameters that are not fields of the request, or whose values are
// invalid.
func (rt *route) checkQuery(query url.Values) (bad violations) {
	scratch := rt.input.New().Interface()
	for _, key := range slices.Sorted(maps.Keys(query)) {
		field := findField(rt.input.Descriptor(), key)
		switch {
		case rt.content != nil && rt.contentField == nil:
			bad = append(bad, violation(key, "belongs in the JSON body: this call reads no query"))
		case field == nil:
			bad = append(bad, violation(key, "is not a parameter of this call; its parameters are %s", strings.Join(rt.queryNames(), ", ")))
		case rt.contentField != nil && findField(rt.input.Descriptor(), firstName(key)) == rt.contentField:
			bad = append(bad, violation(key, "belongs in the JSON body or in the path"))
		case slices.Contains(rt.params, string(field.Name())) && field.Parent() == rt.input.Descriptor():
			bad = append(bad, violation(key, "is given in the path"))
		case !slices.ContainsFunc(query[key], func(v string) bool { return !utf8.ValidString(v) }) &&
			runtime.PopulateQueryParameters(scratch, url.Values{key: query[key]}, noFilter) == nil:
		default:
			bad = append(bad, violation(key, "%s", expectation(field, len(query[key]))))
		}
	}
	return bad
}

// firstName returns the field of the request that a parameter such as
// downsample.max_points begins with, and lastName the one that it ends with.
func firstName(key string) string {
	name, _, _ := strings.Cut(key, ".")
	return name
}

func lastName(key string) string { return key[strings.LastIndex(key, ".")+1:] }

// expandEnums expands short enum names: format=csv is format=EXPORT_FORMAT_CSV. Other
// values are not changed.
func (rt *route) expandEnums(query url.Values) {
	for key, values := range query {
		field := findField(rt.input.Descriptor(), key)
		if field == nil || field.Enum() == nil {
			continue
		}
		names := field.Enum().Values()
		prefix, _ := strings.CutSuffix(string(names.ByNumber(0).Name()), "UNSPECIFIED")
		for i, value := range values {
			full := prefix + strings.ToUpper(value)
			if names.ByName(protoreflect.Name(full)) != nil {
				values[i] = full
			}
		}
	}
}

// noFilter lets every field be set from the query.
var noFilter = utilities.NewDoubleArray(nil)

// findField returns the field that a parameter such as downsample.max_points names,
// by the contract's names or JSON's; nil if there is none.
func findField(in protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	name, rest, nested := strings.Cut(key, ".")
	field := in.Fields().ByTextName(name)
	if field == nil {
		field = in.Fields().ByJSONName(name)
	}
	if field == nil || !nested {
		return field
	}
	if field.Message() == nil || field.IsList() || field.IsMap() || isWellKnown(field.Message()) {
		return nil
	}
	return findField(field.Message(), rest)
}

func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return m.ParentFile().Package() == "google.protobuf"
}

// queryNames lists the parameters of the route.
func (rt *route) queryNames() []string {
	names := []string{}
	fields := rt.input.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case slices.Contains(rt.params, string(f.Name())), f == rt.contentField:
		case f.Message() != nil && !isWellKnown(f.Message()):
			for j := range f.Message().Fields().Len() {
				names = append(names, string(f.Name())+"."+string(f.Message().Fields().Get(j).Name()))
			}
		default:
			names = append(names, string(f.Name()))
		}
	}
	if len(names) == 0 {
		return []string{"none"}
	}
	return names
}

// expectation describes the values that a field accepts, and never includes the given
// value.
func expectation(f protoreflect.FieldDescriptor, count int) string {
	switch {
	case count > 1 && !f.IsList():
		return "must be set only once"
	case f.Kind() == protoreflect.StringKind:
		return "must be valid UTF-8"
	case f.Kind() == protoreflect.BoolKind:
		return "must be true or false"
	case f.Enum() != nil:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return "must be one of " + strings.Join(names, ", ")
	case f.Message() != nil && f.Message().Name() == "Timestamp":
		return "must be a time such as 2025-01-31T12:00:00Z"
	case f.Message() != nil && f.Message().Name() == "Duration":
		return "must be a duration such as 15s"
	case f.Message() != nil && f.Message().Name() == "FieldMask":
		return "must be field names separated by commas"
	case f.Message() != nil:
		return "is set by its fields: " + string(f.Name()) + ".…"
	}
	return "must be a number of type " + f.Kind().String()
}

// startFields are other fields for the start of a stream. A browser reconnects with its
// first URL, so they are dropped if it sends a Last-Event-ID.
var startFields = []protoreflect.Name{"start", "last_lines"}

// resumeQuery sets the resume token from a Last-Event-ID, which replaces the start in the
// URL.
func (rt *route) resumeQuery(query url.Values, id string) {
	for key := range query {
		if f := findField(rt.input.Descriptor(), key); f != nil && (f == rt.token || slices.Contains(startFields, f.Name())) {
			delete(query, key)
		}
	}
	query.Set(string(rt.token.Name()), id)
}
