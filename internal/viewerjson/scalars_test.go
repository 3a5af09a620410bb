package viewerjson

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func TestScalars_AcceptAllRepresentations(t *testing.T) {
	type scalars struct {
		Time  Time
		Float Float
		Int   Int
		Text  Text
		Texts Texts
	}
	at := func(sec int64, nsec int64) Time { return Time{time.Unix(sec, nsec)} }
	for _, tt := range []struct {
		value string
		want  scalars
	}{
		{`1795446662.8663676`, scalars{at(1795446662, 866368000), Float{1795446662.8663676, true}, Int{1795446662, true}, Text{"1795446662.8663676", true}, Texts{"1.7954466628663676e+09"}}},
		{`1795446662`, scalars{at(1795446662, 0), Float{1795446662, true}, Int{1795446662, true}, Text{"1795446662", true}, Texts{"1795446662"}}},
		{`"1795446662"`, scalars{at(1795446662, 0), Float{1795446662, true}, Int{1795446662, true}, Text{"1795446662", true}, Texts{"1795446662"}}},
		{`null`, scalars{}},
		{`"soon"`, scalars{Text: Text{"soon", true}, Texts: Texts{"soon"}}},
		{`""`, scalars{Text: Text{"", true}, Texts: Texts{""}}},
		{`true`, scalars{Time: at(1, 0), Float: Float{1, true}, Text: Text{"true", true}, Texts: Texts{"true"}}},
		{`[1,"a",{"b":2}]`, scalars{Texts: Texts{"1", "a", `{"b":2}`}}},
		{`{"a":1}`, scalars{Texts: Texts{`{"a":1}`}}},
		{`-1`, scalars{Float: Float{-1, true}, Int: Int{-1, true}, Text: Text{"-1", true}, Texts: Texts{"-1"}}},
		{`9007199254740993`, scalars{Float: Float{9007199254740992, true}, Int: Int{9007199254740993, true}, Text: Text{"9007199254740993", true}, Texts: Texts{"9007199254740993"}}},
		{`1e300`, scalars{Float: Float{1e300, true}, Text: Text{"1e300", true}, Texts: Texts{"1e+300"}}},
		{`1e999`, scalars{Float: Float{math.Inf(1), true}, Text: Text{"1e999", true}, Texts: Texts{"+Inf"}}},
	} {
		t.Run(tt.value, func(t *testing.T) {
			var got scalars
			doc := strings.ReplaceAll(`{"Time":V,"Float":V,"Int":V,"Text":V,"Texts":V}`, "V", tt.value)
			if err := json.Unmarshal([]byte(doc), &got, lenient()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestQuoteNonFinite_ChangesOnlyBareTokens(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{`{"a":1}`, `{"a":1}`},
		{`NaN`, `"` + markNaN + `"`},
		{`[NaN,-Infinity,Infinity]`, `["` + markNaN + `","` + markNegInf + `","` + markInf + `"]`},
		{`{"NaN":"Infinity \" NaN"}`, `{"NaN":"Infinity \" NaN"}`},
		{`"unended NaN`, `"unended NaN`},
		{`None`, `None`},
	} {
		if got := string(quoteNonFinite([]byte(tt.doc))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.doc, got, tt.want)
		}
	}
}

func TestValue_String(t *testing.T) {
	for _, tt := range []struct {
		value Value
		want  string
	}{
		{Value{}, "null"},
		{Value{Kind: ValueNumber, Number: math.NaN()}, "NaN"},
		{Value{Kind: ValueInteger, Integer: 7}, "7"},
		{Value{Kind: ValueBool, Bool: true}, "true"},
		{Value{Kind: ValueText, Text: "x"}, "x"},
	} {
		if got := tt.value.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestValueIsServerPath_SearchesJSON(t *testing.T) {
	for text, want := range map[string]bool{
		`["a","/home/me"]`:                true,
		`{"a":{"b":["C:\\Users\\me"]}}`:   true,
		`{"\/home\/me":1}`:                true,
		`["\u002fhome\u002fme"]`:          true,
		`{"a":"file:///home/me"}`:         true,
		`["/home/me`:                      true,
		`["a",`:                           true,
		`["a","s3://b/c",1,null,{"x":2}]`: false,
		`["\nfoo\nbar","\\alpha"]`:        false,
		`{}`:                              false,
	} {
		if got := (Value{Kind: ValueJSON, Text: text}).IsServerPath(); got != want {
			t.Errorf("%s: got %t", text, got)
		}
	}
	if (Value{Kind: ValueNumber, Text: "/x"}).IsServerPath() {
		t.Error("a number is taken for a path")
	}
}
