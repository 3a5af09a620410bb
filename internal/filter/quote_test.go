package filter_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

// texts are values that try to escape from their quotes.
var texts = []string{
	"", "a", "a b", `"`, `""`, `\`, `\"`, `a\`, "a\nb", "\r\t\x00", "`", "'", " OR ", `" OR name:* OR "`, `x" OR "y`,
	"*", "vision/*", `\*`, "AND", "-", "(", ")", "true", "50", "1e-4", "2026-01-31", "ünïcode 模型 🙂", "\u2028", "\ufffd",
}

// checkQuote checks that a quoted text selects exactly the text, and that it works as a
// key.
func checkQuote(t *testing.T, s string) {
	t.Helper()
	schema := newSchema()
	for _, field := range []string{"name", "path", "project"} {
		f, err := filter.Compile(field+" = "+filter.Quote(s), schema)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		for _, other := range append([]string{s + "a", "a" + s, strings.ToUpper(s) + "x", s + s + "x"}, texts...) {
			r := &run{name: other, path: other, project: other}
			if want := other == s && s != ""; f.Match(r) != want { // the schema has no empty texts
				t.Errorf("%s = Quote(%q) selects %q: %v", field, s, other, !want)
			}
		}
		if r := (&run{name: s, path: s, project: s}); s != "" && !f.Match(r) {
			t.Errorf("%s = Quote(%q) does not select it", field, s)
		}
	}
	f, err := filter.Compile("metrics."+filter.Quote(s)+".last > 1", schema)
	if err != nil {
		t.Fatalf("key %q: %v", s, err)
	}
	if got := f.Needs().Keys["metrics"]; len(got) != 1 || got[0] != s {
		t.Errorf("key %q is read as %q", s, got)
	}
}

func TestQuote_AcceptsAnyText(t *testing.T) {
	for _, s := range texts {
		checkQuote(t, s)
	}
}

func TestAnd_KeepsFiltersSeparate(t *testing.T) {
	const own = `project = "vision"`
	for _, c := range []struct{ sentence, user, want string }{
		{"an empty filter is left out", " ", own},
		{"a single term needs no parentheses", "a", `a AND ` + own},
		{"terms joined by AND need none", "a b", `a b AND ` + own},
		{"alternatives get them", "a OR b", `(a OR b) AND ` + own},
		{"a group keeps its own", "(a OR b)", `((a OR b)) AND ` + own},
		{"a filter that closes too much stays alone", "a) OR (b", "a) OR (b"},
		{"a filter with an open quote stays alone", `a OR "b`, `a OR "b`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := filter.And(c.user, own); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	if got := filter.And("", own, ""); got != own {
		t.Errorf("a single filter becomes %s", got)
	}
	if got := filter.And(); got != "" {
		t.Errorf("no filter becomes %s", got)
	}
}

// checkAnd checks that a user's filter cannot widen the server's own.
func checkAnd(t *testing.T, user string) {
	t.Helper()
	schema := newSchema()
	alone, errAlone := filter.Compile(user, schema)
	both, err := filter.Compile(filter.And(user, `name = "x" OR name = "y"`, user), schema)
	if errAlone != nil {
		if err == nil {
			t.Fatalf("%q is refused alone and accepted with others", user)
		}
		return
	}
	if err != nil {
		return // only a limit can be exceeded
	}
	for _, r := range append([]*run{{name: "x"}, {name: "y", path: "vision", status: "RUNNING"}}, runs...) {
		if want := alone.Match(r) && (r.name == "x" || r.name == "y"); both.Match(r) != want {
			t.Fatalf("%q with another filter: %v, want %v", user, !want, want)
		}
	}
}

func TestContainsFold_AgreesWithToLower(t *testing.T) {
	for _, text := range append([]string{"ΣΑΣ", "İstanbul", "K", "aaab", "AbC"}, texts...) {
		for _, word := range append([]string{"σας", "i", "k", "aab", "bc"}, texts...) {
			word = strings.ToLower(word)
			if got, want := filter.ContainsFold(text, word), strings.Contains(strings.ToLower(text), word); got != want {
				t.Errorf("%q in %q: got %v, want %v", word, text, got, want)
			}
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if utf8.ValidString(s) && len(filter.Quote(s)) < filter.MaxBytes-100 {
			checkQuote(t, s)
		}
		checkAnd(t, s)
	})
}

func FuzzCompile(f *testing.F) {
	for _, s := range append([]string{
		`metrics."train/loss".last < 0.1 AND (status = RUNNING OR -tags:"prod")`, "summary.`a b` != 1e400", `create_time > 2026-01-31T12:00:00+02:00 path = "a/*"`,
		`a OR b c`, `status, create_time desc`, `metrics.a.last desc,name asc`, "a.b.\"c\" <= -3", "duration >= 1.5h NOT NOT x",
	}, texts...) {
		f.Add(s)
	}
	schema := newSchema()
	f.Fuzz(func(t *testing.T, s string) {
		first, err := filter.Compile(s, schema)
		second, again := filter.Compile(s, schema)
		checkSame(t, err, again)
		if err == nil && selected(first.Match) != selected(second.Match) {
			t.Errorf("%q selects other records the second time", s)
		}
		checkAnd(t, s)
		_, err = filter.ParseOrder(s, schema)
		_, again = filter.ParseOrder(s, schema)
		checkSame(t, err, again)
	})
}

func checkSame(t *testing.T, first, second error) {
	t.Helper()
	if (first == nil) != (second == nil) || first != nil && first.Error() != second.Error() {
		t.Errorf("first %v, then %v", first, second)
	}
	if first != nil && len(first.Error()) > 512 {
		t.Errorf("an error of %d bytes: %v", len(first.Error()), first)
	}
}
