// Package page divides lists into pages. It holds positions in an order, page tokens, and
// the encoding that page tokens and resume tokens share.
package page

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	// MaxKeyText is how many bytes of a text are used for order and tokens. The limit
	// keeps a token within the 4096 bytes of its field.
	MaxKeyText = 512
	// tokenVersion is the first byte of a token.
	tokenVersion = 2
)

// Truncate cuts a text to MaxKeyText.
func Truncate(text string) string { return text[:min(len(text), MaxKeyText)] }

// Position is an item's position in the order of a list. It is a keyset: items that are
// added or removed elsewhere do not shift the page.
type Position struct {
	Keys       []filter.Value // at most filter.MaxOrderKeys
	Viewer, ID string
}

// At returns the position of an item with one key.
func At(key filter.Value, viewer, id string) Position {
	return Position{Keys: []filter.Value{key.Truncate(MaxKeyText)}, Viewer: viewer, ID: Truncate(id)}
}

// compare orders positions. Desc tells which keys are descending. Neither items without a
// key nor ties depend on it.
func (p *Position) compare(other *Position, desc []bool) int {
	for i, key := range p.Keys {
		if i == len(other.Keys) {
			break
		}
		if order := key.Order(other.Keys[i], i < len(desc) && desc[i]); order != 0 {
			return order
		}
	}
	return cmp.Or(strings.Compare(p.Viewer, other.Viewer), strings.Compare(p.ID, other.ID))
}

// Request is a list request.
type Request interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
}

// skipRequest is a list request whose first page may skip items.
type skipRequest interface{ GetSkip() int32 }

// Pager selects one page.
type Pager struct {
	query      queryHash
	size, skip int
	after      *Position
}

// New parses the paging fields of a request.
func New(req Request) (*Pager, error) {
	return newSized(req, defaultPageSize)
}

// newSized is New with the default page size.
func newSized(req Request, size int) (*Pager, error) {
	p := &Pager{query: hashQuery(req), size: min(cmp.Or(int(req.GetPageSize()), size), maxPageSize)}
	if r, ok := req.(skipRequest); ok {
		p.skip = int(r.GetSkip())
	}
	if token := req.GetPageToken(); token != "" {
		after, err := readToken(token, p.query)
		if err != nil {
			return nil, invalidPageToken(err)
		}
		p.after = after
	}
	return p, nil
}

// TokenAfter returns the token of the page that follows a position.
func (p *Pager) TokenAfter(at *Position) string { return writeToken(p.query, at) }

// Keyed is an item with its position.
type Keyed[T any] struct {
	Position
	Item T
}

// Paginate returns a page in order and the token of the next one, which is empty on the
// last page. It reorders items. A page of messages is limited in bytes; a message that
// does not fit alone is shortened.
func Paginate[T any](p *Pager, items []Keyed[T], desc ...bool) (page []T, next string) {
	if p.after != nil {
		items = slices.DeleteFunc(items, func(item Keyed[T]) bool { return item.compare(p.after, desc) <= 0 })
	}
	items = first(items, p.skip+p.size+1, func(a, b *Keyed[T]) int { return a.compare(&b.Position, desc) })
	items = items[min(p.skip, len(items)):]
	if len(items) > p.size {
		next = writeToken(p.query, &items[p.size-1].Position)
		items = items[:p.size]
	}
	page = make([]T, 0, len(items))
	room := answer.MaxSize
	for i := range items {
		if m, ok := any(items[i].Item).(proto.Message); ok {
			answer.Fit(m, answer.MaxSize)
			if room -= proto.Size(m) + answer.Framing; room < 0 && i > 0 {
				return page, writeToken(p.query, &items[i-1].Position)
			}
		}
		page = append(page, items[i].Item)
	}
	return page, next
}

// first returns the first n items in order, and reorders items. For a small page of many
// items it costs about one comparison per item, instead of sorting all.
func first[T any](items []T, n int, compare func(a, b *T) int) []T {
	kept, full := items[:0], false // full: kept has n items or more, the first n in order
	settle := func() {
		slices.SortFunc(kept, func(a, b T) int { return compare(&a, &b) })
		kept = kept[:min(n, len(kept))]
	}
	for i := range items {
		if full && compare(&items[i], &kept[n-1]) >= 0 {
			continue
		}
		if kept = append(kept, items[i]); len(kept) == 2*n {
			settle()
			full = true
		}
	}
	settle()
	return kept
}

// InOrder returns a page of a list that already has an order, and the token of the next
// one. Without a page_size, a page has as many items as fit. A page begins after the last
// item of the previous page, wherever that item is now; if it was removed, at its old
// index.
func InOrder[M proto.Message](req Request, items []M, id func(M) string) (page []M, next string, err error) {
	p, err := newSized(req, maxPageSize)
	if err != nil {
		return nil, "", err
	}
	start := 0
	if p.after != nil {
		index, ok := p.after.index()
		if !ok {
			return nil, "", invalidPageToken(ErrDamaged)
		}
		start = min(index, len(items))
		if at := slices.IndexFunc(items, func(item M) bool { return itemHash(id(item)) == p.after.ID }); at >= 0 {
			start = at + 1
		}
	}
	page = items[start:]
	page = page[:min(p.size, len(page))]
	for _, item := range page {
		answer.Fit(item, answer.MaxSize)
	}
	page = page[:answer.CountFitting(page, answer.MaxSize)]
	if end := start + len(page); end < len(items) {
		last := At(filter.IntValue(int64(end)), "", itemHash(id(items[end-1])))
		next = writeToken(p.query, &last)
	}
	return page, next, nil
}

// index returns the index that a position of InOrder has as its key.
func (p *Position) index() (int, bool) {
	if len(p.Keys) != 1 {
		return 0, false
	}
	n, ok := p.Keys[0].Int()
	return int(n), ok && n >= 0 && n <= math.MaxInt32
}

// itemHash represents the id of an item in a token, in a fixed length.
func itemHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:8])
}

// queryHash binds a token to the query that it continues.
type queryHash [8]byte

// hashQuery hashes every field of a request that selects or orders items.
func hashQuery(req Request) queryHash {
	query := proto.Clone(req).ProtoReflect()
	for _, paging := range [...]protoreflect.Name{"page_size", "page_token", "skip"} {
		if field := query.Descriptor().Fields().ByName(paging); field != nil {
			query.Clear(field)
		}
	}
	// The encoding is deterministic within one build. After an upgrade an old token may
	// be refused, and the client begins the list again.
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(query.Interface())
	if err != nil {
		text = nil // a request that came over the wire always marshals
	}
	sum := sha256.Sum256(append([]byte(query.Descriptor().FullName()), text...))
	return queryHash(sum[:8])
}

// writeToken encodes: version, query, the number of keys, the keys, two texts with their
// lengths, and a checksum.
func writeToken(query queryHash, p *Position) string {
	b := append([]byte{tokenVersion}, query[:]...)
	b = append(b, byte(len(p.Keys)))
	for _, key := range p.Keys {
		b = key.Append(b)
	}
	return seal(AppendText(AppendText(b, p.Viewer), p.ID))
}

var (
	// ErrDamaged reports that the token was not made by this server, or was changed.
	ErrDamaged    = errors.New("it is damaged")
	errOtherQuery = errors.New("it belongs to another query")
)

// readToken returns the position after which a page begins.
func readToken(token string, query queryHash) (*Position, error) {
	body, ok := Unseal(token)
	const head = 1 + len(query) + 1
	if !ok || len(body) < head || body[0] != tokenVersion {
		return nil, ErrDamaged
	}
	if queryHash(body[1:1+len(query)]) != query {
		return nil, errOtherQuery
	}
	p := &Position{Keys: make([]filter.Value, 0, filter.MaxOrderKeys)}
	rest := body[head:]
	for range body[head-1] {
		key, behind, ok := filter.ReadValue(rest)
		if !ok || len(p.Keys) == filter.MaxOrderKeys {
			return nil, ErrDamaged
		}
		p.Keys, rest = append(p.Keys, key), behind
	}
	d := NewTokenReader(rest)
	if p.Viewer, p.ID = d.Text(), d.Text(); !d.Done() {
		return nil, ErrDamaged
	}
	return p, nil
}

// invalidPageToken is the error for a token that cannot be used.
func invalidPageToken(why error) *apierr.Error {
	f := apierr.Invalid("page_token", "cannot be used: %v", why)
	f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_PAGE_TOKEN_INVALID
	f.Code, f.Cause = codes.InvalidArgument, fmt.Errorf("read the page token: %w", why)
	return f
}
