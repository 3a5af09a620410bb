package filter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

const fields = "alias, create_time, duration, name, path, pinned, project, run_id, status, tags, metrics.<key>, summary.<key>"

func TestCompile_ReportsMistakesWithPosition(t *testing.T) {
	const mixed = "AND and OR are mixed: add parentheses, such as a AND (b OR c); terms without AND or OR between them are joined by AND"
	for _, c := range []struct{ sentence, text, want string }{
		{"two equals signs", `project == "a"`, `at character 9: "==" is not an operator: write "="`},
		{"an exclamation mark", `!resnet`, `at character 1: "!" is not an operator: write NOT before a term, or "!=" between a field and a value`},
		{"two ampersands", `a && b`, `at character 3: "&" is not an operator: write AND`},
		{"two bars", `a || b`, `at character 3: "|" is not an operator: write OR`},
		{"a regular expression", `name =~ "x"`, `at character 6: regular expressions are not supported: write ":" for a part of a text`},
		{"a lower-case and", `a and b`, `at character 3: operators are upper-case: write AND, or and in double quotes to search for the word`},
		{"a lower-case or", `a or b`, `at character 3: operators are upper-case: write OR, or or in double quotes to search for the word`},
		{"a lower-case not", `not a`, `at character 1: operators are upper-case: write NOT, or not in double quotes to search for the word`},
		{"AND before OR", `a AND b OR c`, "at character 9: " + mixed},
		{"OR before AND", `a OR b AND c`, "at character 8: " + mixed},
		{"OR before an implicit AND", `a OR b c`, "at character 8: " + mixed},
		{"single quotes", `name = 'a'`, `at character 8: texts are quoted with double quotes: write "text"`},
		{"typographic quotes", `name = “a”`, `at character 8: texts are quoted with double quotes: write "text"`},
		{"positions count characters, not bytes", `"äöü" && b`, `at character 7: "&" is not an operator: write AND`},
		{"another character", `a ; b`, `at character 3: unexpected character ';': put texts that hold it in double quotes`},

		{"an unknown field", `owner = me`, `at character 1: unknown field "owner": known are ` + fields},
		{"a field of orders only", `best_metric > 1`, `at character 1: unknown field "best_metric": known are ` + fields},
		{"a word with a colon", `http://host`, `at character 1: unknown field "http": known are ` + fields},
		{"a field without operator before a term", `name LIKE "a"`, `at character 1: the field name needs an operator after it, such as = or :, or double quotes around it to search for the word`},
		{"a key is missing", `summary > 1`, `at character 1: "summary" needs a key after a dot, such as summary.key or summary."any/key"`},
		{"a key is empty", `summary.a..b > 1`, `at character 1: "summary.a..b" needs a key after a dot, such as summary.key or summary."any/key"`},
		{"a metric without its part", `metrics.loss < 1`, `at character 1: "metrics.loss" must end in .last, .min, .max, .count, .last_step`},
		{"a quoted part is a name", `metrics.loss."last" < 1`, `at character 1: "metrics.loss.\"last\"" must end in .last, .min, .max, .count, .last_step`},
		{"a name without operator", `metrics."a b".last`, `at character 19: "metrics.\"a b\".last" needs an operator after it, such as =`},

		{"a text for a time", `create_time > "abc"`, `at character 15: "create_time" is compared with a time, such as 2026-01-31 or 2026-01-31T12:00:00Z, not with "abc"`},
		{"a day that does not exist", `create_time > 2026-02-30`, `at character 15: "create_time" is compared with a time, such as 2026-01-31 or 2026-01-31T12:00:00Z, not with "2026-02-30"`},
		{"a duration without unit", `duration > 20`, `at character 12: "duration" is compared with a duration, such as 20s, 90m or 1.5h, not with "20"`},
		{"a quoted number", `metrics.loss.last < "0.1"`, `at character 21: "metrics.loss.last" is compared with a number, such as 0.5 or 1e-4, not with "0.1"`},
		{"a word for a number", `metrics.loss.last < low`, `at character 21: "metrics.loss.last" is compared with a number, such as 0.5 or 1e-4, not with "low"`},
		{"a number for a boolean", `pinned = 1`, `at character 10: "pinned" is compared with true or false, not with "1"`},
		{"an order of booleans", `summary.ok < true`, `at character 12: true and false are compared with = and != only`},
		{"a number has no parts", `metrics.loss.last:5`, `at character 18: ":" searches for a part of a text: compare "metrics.loss.last" with =, or write "metrics.loss.last":* for all that have it`},
		{"an unknown status", `status = DONE`, `at character 10: status must be RUNNING, FINISHED, FAILED, INTERRUPTED, OTHER, not "DONE"`},
		{"a lower-case status", `status = running`, `at character 10: status must be RUNNING, FINISHED, FAILED, INTERRUPTED, OTHER, not "running"`},
		{"an order of statuses", `status > RUNNING`, `at character 8: status is compared with = and != only`},
		{"a set has no =", `tags = prod`, `at character 6: tags is a set: write tags:"prod" for the records that have this one`},
		{"a star inside a path", `path = "a/*/b"`, `at character 8: * is allowed at the end of a path only: write \* in double quotes for the character`},
		{"a star after has", `path:"a/*"`, `at character 5: * at the end of a path needs = or !=: write path:"a/b" for a/b and all below it`},

		{"no value", `name =`, `at character 7: "=" needs a value after it: put operators and brackets that belong to a value in double quotes`},
		{"an operator for a value", `name = AND a`, `at character 8: "=" needs a value after it: put operators and brackets that belong to a value in double quotes`},
		{"no field", `= a`, `at character 1: "=" needs a field before it`},
		{"two operators", `a = b = c`, `at character 7: "=" needs a field before it`},
		{"nothing after AND", `a AND`, `at character 6: the filter ends where a term is expected`},
		{"nothing before OR", `OR a`, `at character 1: unexpected "OR": a term is expected, such as status = RUNNING`},
		{"nothing in parentheses", `()`, `at character 2: unexpected ")": a term is expected, such as status = RUNNING`},
		{"an open parenthesis", `a (b`, `at character 3: "(" has no ")" after it`},
		{"a closed parenthesis", `a) b`, `at character 2: ")" has no "(" before it`},
		{"a comma", `a, b`, `at character 2: unexpected ",": join terms with AND or OR`},
		{"a lonely hyphen", `a - b`, `at character 3: "-" means NOT and must be directly before a term: put texts that begin with it in double quotes`},
		{"an open quote", `name = "abc`, `at character 8: the quoted text has no end: add a "`},
		{"an unknown escape", `name = "C:\dir"`, `at character 11: unknown escape: write \\ for a backslash; known are \" \\ \* \n \r \t`},
		{"an escape at the end", `name = "\`, `at character 9: the text ends in an escape: write \\ for a backslash`},
		{"a quote inside a quoted text", `name = "a"b"`, `at character 11: a quote inside a quoted text is written \", and terms are separated by spaces`},
		{"a quote inside a word", `name = a"b"`, `at character 9: a quoted text begins inside a word: put a space or an operator before it, or quote the whole`},
		{"bytes that are not UTF-8", "a \xff", "at character 3: a filter is not valid UTF-8"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := filter.Compile(c.text, newSchema())
			checkMistake(t, err, c.want)
		})
	}
}

func checkMistake(t *testing.T, err error, want string) {
	t.Helper()
	if _, ok := errors.AsType[*filter.Error](err); !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestParseOrder_ReportsMistakes(t *testing.T) {
	const sortable = "alias, best_metric, create_time, name, path, project, run_id, status, metrics.<key>"
	for _, c := range []struct{ text, want string }{
		{"size", `at character 1: unknown field "size": known are ` + sortable},
		{"name, tags", `at character 7: "tags" cannot be ordered by: allowed are ` + sortable},
		{"name DESC", `at character 6: unexpected "DESC": "asc", "desc", "," or the end is expected`},
		{"name desc desc", `at character 11: unexpected "desc": "asc", "desc", "," or the end is expected`},
		{"name,", `at character 6: the order ends where a field is expected after ","`},
		{", name", `at character 1: unexpected ",": a field is expected, such as create_time desc`},
		{"-name", `at character 1: unexpected "-": a field is expected, such as create_time desc`},
		{"metrics.loss", `at character 1: "metrics.loss" must end in .last, .min, .max, .count, .last_step`},
		{"name,name,name,name,name", `at character 21: an order has at most 4 keys`},
	} {
		t.Run(c.text, func(t *testing.T) {
			_, err := filter.ParseOrder(c.text, newSchema())
			checkMistake(t, err, c.want)
		})
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("(", n) + "a" + strings.Repeat(")", n) }
	terms := func(n int) string { return strings.Repeat("a ", n) }
	for _, c := range []struct{ sentence, text, want string }{
		{"a filter of the maximum length", `"` + strings.Repeat("a", filter.MaxBytes-2) + `"`, ""},
		{"a longer filter", strings.Repeat("a", filter.MaxBytes+1), "a filter of 2049 bytes is too long: at most 2048 are allowed"},
		{"the deepest parentheses", nested(filter.MaxDepth), ""},
		{"deeper parentheses", nested(filter.MaxDepth + 1), "at character 66: the filter nests deeper than 64 levels"},
		{"deeper negations", strings.Repeat("-", filter.MaxDepth+1) + "a", "at character 66: the filter nests deeper than 64 levels"},
		{"the most terms", terms(filter.MaxTerms), ""},
		{"more terms", terms(filter.MaxTerms + 1), "at character 257: the filter has more than 128 terms"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := filter.Compile(c.text, newSchema())
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkMistake(t, err, c.want)
			if !errors.Is(err, filter.ErrLimit) {
				t.Error("is not an ErrLimit")
			}
		})
	}
}

func TestCompile_RefusesHostileTextsQuickly(t *testing.T) {
	for _, unit := range []string{"(", "-", "NOT ", "a ", `"`, `\`, "a.", ".", "ä", "\xff", "a=", "(a OR "} {
		start := time.Now()
		text := strings.Repeat(unit, 1<<20/len(unit))
		if _, err := filter.Compile(text, newSchema()); !errors.Is(err, filter.ErrLimit) {
			t.Errorf("%q: got %v, want ErrLimit", unit, err)
		}
		if _, err := filter.ParseOrder(text, newSchema()); !errors.Is(err, filter.ErrLimit) {
			t.Errorf("order %q: got %v, want ErrLimit", unit, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%q: refused after %s", unit, took)
		}
	}
}
