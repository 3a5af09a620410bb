package filter

import "strings"

// Limits of a filter.
const (
	// MaxBytes is the maximum length of a filter or an order.
	MaxBytes = 2048
	// MaxDepth is the maximum nesting of parentheses and negations.
	MaxDepth = 64
	// MaxTerms is the maximum number of comparisons and words.
	MaxTerms = 128
)

type nodeKind uint8

const (
	nodeAnd nodeKind = iota
	nodeOr
	nodeNot
	nodeCompare
	nodeSearch
)

// node is a syntactically valid part of a filter. The compiler checks its fields and
// values.
type node struct {
	kind     nodeKind
	operands []*node // of nodeAnd, nodeOr and nodeNot
	name     token   // the field of nodeCompare, the text of nodeSearch
	operator token
	value    token
	// adjoined reports a bare word directly followed by another term.
	adjoined bool
}

type parser struct {
	lexer
	tok   token
	terms int
}

// parse parses a filter; it returns nil for an empty one.
func parse(text string) (*node, error) {
	p := &parser{lexer: lexer{source: source(text)}}
	if err := p.check("a filter"); err != nil {
		return nil, err
	}
	if err := p.advance(); err != nil || p.tok.kind == tokenEnd {
		return nil, err
	}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind == tokenClose {
		return nil, p.errorf(p.tok.at, `")" has no "(" before it`)
	}
	return n, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.term()
	return err
}

// expression parses terms joined by AND or by OR up to ")" or the end.
func (p *parser) expression(depth int) (*node, error) {
	n := &node{}
	for {
		operand, err := p.operand(depth)
		if err != nil {
			return nil, err
		}
		n.operands = append(n.operands, operand)
		if p.tok.kind == tokenEnd || p.tok.kind == tokenClose {
			break
		}
		if err := p.joint(n, operand); err != nil {
			return nil, err
		}
	}
	if len(n.operands) == 1 {
		return n.operands[0], nil
	}
	return n, nil
}

// joint parses what is between two terms: AND, OR, or nothing, which means AND.
func (p *parser) joint(n, before *node) error {
	kind, explicit := nodeAnd, p.tok.kind == tokenAnd || p.tok.kind == tokenOr
	if p.tok.kind == tokenOr {
		kind = nodeOr
	}
	if len(n.operands) > 1 && n.kind != kind {
		return p.errorf(p.tok.at, "AND and OR are mixed: add parentheses, such as a AND (b OR c); terms without AND or OR between them are joined by AND")
	}
	n.kind = kind
	if explicit {
		return p.advance()
	}
	switch p.tok.kind {
	case tokenOperator:
		return p.errorf(p.tok.at, "%q needs a field before it", p.tok.text)
	case tokenComma:
		return p.errorf(p.tok.at, `unexpected ",": join terms with AND or OR`)
	}
	before.adjoined = true
	return nil
}

// operand parses one term with its negations.
func (p *parser) operand(depth int) (*node, error) {
	if depth > MaxDepth {
		return nil, p.limitf(p.tok.at, "the filter nests deeper than %d levels", MaxDepth)
	}
	switch t := p.tok; t.kind {
	case tokenNot:
		return p.negation(depth)
	case tokenOpen:
		return p.group(depth)
	case tokenWord, tokenString:
		return p.comparison()
	case tokenEnd:
		return nil, p.errorf(t.at, "the filter ends where a term is expected")
	case tokenOperator:
		return nil, p.errorf(t.at, "%q needs a field before it", t.text)
	default:
		return nil, p.errorf(t.at, "unexpected %q: a term is expected, such as status = RUNNING", t.text)
	}
}

func (p *parser) negation(depth int) (*node, error) {
	not := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	if not.text == "-" && p.tok.at != not.at+1 {
		return nil, p.errorf(not.at, `"-" means NOT and must be directly before a term: put texts that begin with it in double quotes`)
	}
	n, err := p.operand(depth + 1)
	return &node{kind: nodeNot, operands: []*node{n}}, err
}

func (p *parser) group(depth int) (*node, error) {
	open := p.tok
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.expression(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenClose {
		return nil, p.errorf(open.at, `"(" has no ")" after it`)
	}
	return n, p.advance()
}

// comparison parses a field, an operator and a value, or a text to search for.
func (p *parser) comparison() (*node, error) {
	n := &node{kind: nodeSearch, name: p.tok}
	if p.terms++; p.terms > MaxTerms {
		return nil, p.limitf(p.tok.at, "the filter has more than %d terms", MaxTerms)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind != tokenOperator {
		return n, p.checkSearch(n.name)
	}
	n.kind, n.operator = nodeCompare, p.tok
	var err error
	if n.value, err = p.value(); err != nil {
		return nil, err
	}
	switch v := n.value; {
	case v.kind == tokenEnd, v.kind == tokenWord && (v.text == "AND" || v.text == "OR" || v.text == "NOT"):
		return nil, p.errorf(v.at, "%q needs a value after it: put operators and brackets that belong to a value in double quotes", n.operator.text)
	}
	return n, p.advance()
}

// checkSearch refuses words that look like operators or names.
func (p *parser) checkSearch(t token) error {
	if t.kind == tokenString {
		return nil
	}
	switch upper := strings.ToUpper(t.text); upper {
	case "AND", "OR", "NOT":
		return p.errorf(t.at, "operators are upper-case: write %s, or %s in double quotes to search for the word", upper, t.text)
	}
	if t.hasQuotedPart() {
		return p.errorf(p.tok.at, "%s needs an operator after it, such as =", quoted(t.text))
	}
	return nil
}
