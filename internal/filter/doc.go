// Package filter implements the language in which requests select and order
// experiments: filters as in AIP-160 and orders as in AIP-132. Compile and
// ParseOrder turn a text into functions over records of the caller's type,
// which a Schema describes. This page is the manual of the language.
//
// # Terms
//
// A filter is a list of terms. A term is a comparison or a text to search for:
//
//	status = RUNNING
//	metrics.loss.last < 0.1
//	resnet-50
//	"learning rate"
//
// Terms are joined by AND or OR and negated by NOT or a hyphen. Terms without
// AND or OR between them are joined by AND. Parentheses group terms. AND and OR
// on one level without parentheses are refused, because AIP-160 and SQL
// disagree about which of them binds tighter:
//
//	project = vision status = RUNNING
//	project = vision AND (status = FAILED OR status = INTERRUPTED)
//	resnet -tags:"broken" NOT (name = "a" OR name = "b")
//
// The operators AND, OR and NOT are upper-case. An empty filter selects every
// record.
//
// # Fields
//
// The schema of the service decides which fields there are. Those of an
// experiment are:
//
//	viewer, run_id, project, name, alias       texts
//	path                                       a path
//	tags                                       a set of texts
//	status                                     RUNNING, FINISHED, FAILED, INTERRUPTED, OTHER
//	create_time, start_time, end_time          times
//	duration                                   a duration
//	summary.<key>, config.<key>                a number, a text, true or false
//	metrics.<name>.last, .min, .max            numbers
//	metrics.<name>.count, .first_step, .last_step
//
// Dots lead into nested values: config.optimizer.lr. Keys and names that hold
// dots, spaces or other special characters are put in double quotes or in
// backticks: metrics."train/loss".last, summary.`best acc`, config."a.b".c. Dots
// between parts of the name of a metric need no quotes.
//
// # Values
//
// A value in double quotes is a text; \" \\ \* \n \r and \t are its escapes. A
// value in backticks is a text without escapes. A value of letters, digits and
// any of _ - . / + * @ # % $ ? needs no quotes: resnet-50,
// 20240101_120000_abcdef. An RFC 3339 time needs none either. Function Quote
// makes a value or a key out of any text.
//
//	numbers     0.1, -3, 1e-4, Inf, -Inf
//	times       2026-01-31T12:00:00Z, 2026-01-31T12:00:00+02:00, 2026-01-31 (midnight in UTC)
//	durations   20s, 90m, 1.5h, 1h30m
//	booleans    true, false
//
// Numbers and booleans are never quoted; times and durations may be. Integers
// compare exactly, however large. A value that does not fit a field is an
// error. A text field takes any value as a text: name = 50. In summary and
// config the spelling of the value decides: 50 is a number, "50" is a text. A
// record whose value is of another kind is not selected, not by != either.
//
// # Operators
//
// = != < <= > >= compare. Texts compare exactly, with case, by their bytes.
// Status takes = and != only and accepts EXPERIMENT_STATUS_RUNNING for RUNNING.
//
// The operator ":" means "has":
//
//	name:"res"        the name contains res, in any case
//	tags:"prod"       there is a tag prod, exactly
//	path:"vision"     the path is vision, or below it: vision/a, but not visions
//	alias:*           there is an alias
//	metrics.acc:*     the metric acc was logged
//
// A path with * at its end matches every path that begins with what is before
// the *:
//
//	path = "vision/*"    vision/a and vision/a/b, but not vision
//	path = "vision*"     vision, visions and vision/a
//
// The character * itself is written \* in double quotes. In other fields than
// path, * is an ordinary character of a value, except for the bare * after ":".
//
// A text without field and operator selects the records that contain it, in any
// case, in path, name, alias, a tag or run_id.
//
// # Missing values
//
// A comparison with a missing value is false, whatever the operator: neither
// alias = "x" nor alias != "x" selects a record without an alias. NOT negates
// the whole: NOT alias = "x" selects it. NaN is equal to, smaller than and
// greater than nothing, so each comparison with it is false too, but it is not
// missing.
//
// # Orders
//
// An order is a list of at most 4 fields with commas between them. Each may be
// followed by desc or asc; asc is the default:
//
//	status, create_time desc
//	metrics."val/acc".max desc
//
// Records whose value is missing or NaN come last in both directions. Texts are
// ordered by their bytes, a status by the order of the words above. Besides the
// fields of filters there is best_metric.
//
// # Limits
//
// A text has at most 2048 bytes of UTF-8. A filter has at most 128 terms and
// nests at most 64 levels deep.
package filter
