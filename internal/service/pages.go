package service

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
	// maxKeyText is how much of a text, in bytes, counts for order and
	// tokens, so that a token always fits into the 4096 bytes of its field.
	maxKeyText = 512
	// tokenVersion is the first byte of a token.
	tokenVersion = 2
)

// truncate cuts a text to what counts of it.
func truncate(text string) string { return text[:min(len(text), maxKeyText)] }

// position is an item's position in its order: a keyset, so that items that come
// or go elsewhere shift nothing.
type position struct {
	keys       []filter.Value // at most filter.MaxOrderKeys
	viewer, id string
}

// keyed is the position of an item with one key.
func keyedBy(key filter.Value, viewer, id string) position {
	return position{keys: []filter.Value{key.Truncate(maxKeyText)}, viewer: viewer, id: truncate(id)}
}

// compare orders positions; desc says which keys are descending, and turns
// around neither items without a key nor the ties.
func (p *position) compare(other *position, desc []bool) int {
	for i, key := range p.keys {
		if i == len(other.keys) {
			break
		}
		if order := key.Order(other.keys[i], i < len(desc) && desc[i]); order != 0 {
			return order
		}
	}
	return cmp.Or(strings.Compare(p.viewer, other.viewer), strings.Compare(p.id, other.id))
}

// pageRequest is a request of a list.
type pageRequest interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
}

// skipRequest is a request of a list whose pages can begin later.
type skipRequest interface{ GetSkip() int32 }

// pager cuts one page.
type pager struct {
	query      queryHash
	size, skip int
	after      *position
}

// newPager reads what a request says about its page.
func newPager(req pageRequest) (*pager, error) {
	return newSizedPager(req, defaultPageSize)
}

// newSizedPager is newPager with the page size of requests that have none.
func newSizedPager(req pageRequest, size int) (*pager, error) {
	p := &pager{query: hashQuery(req), size: min(cmp.Or(int(req.GetPageSize()), size), maxPageSize)}
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

// keyed is an item with its position.
type keyed[T any] struct {
	position
	item T
}

// paginate orders items in place and returns the page of them with the token of
// the next one, which is empty on the last page.
func paginate[T any](p *pager, items []keyed[T], desc ...bool) (page []T, next string) {
	slices.SortFunc(items, func(a, b keyed[T]) int { return a.compare(&b.position, desc) })
	if p.after != nil {
		start, found := slices.BinarySearchFunc(items, p.after, func(item keyed[T], after *position) int {
			return item.compare(after, desc)
		})
		if found {
			start++
		}
		items = items[start:]
	}
	items = items[min(p.skip, len(items)):]
	if len(items) > p.size {
		next = writeToken(p.query, &items[p.size-1].position)
		items = items[:p.size]
	}
	page = make([]T, 0, len(items))
	for i := range items {
		page = append(page, items[i].item)
	}
	return page, next
}

// pageInOrder returns the page of a list that has an order of its own, and the
// token of the next one. Without a page_size a page has all that fits. A page
// starts after the last item of the one before, wherever that is now; if it is
// gone, where it was.
func pageInOrder[M proto.Message](req pageRequest, items []M, id func(M) string) (page []M, next string, err error) {
	p, err := newSizedPager(req, maxPageSize)
	if err != nil {
		return nil, "", err
	}
	start := 0
	if p.after != nil {
		index, ok := p.after.index()
		if !ok {
			return nil, "", invalidPageToken(errDamagedToken)
		}
		start = min(index, len(items))
		if at := slices.IndexFunc(items, func(item M) bool { return itemHash(id(item)) == p.after.id }); at >= 0 {
			start = at + 1
		}
	}
	page = items[start:]
	page = page[:min(p.size, len(page))]
	page = page[:answer.CountFitting(page, answer.MaxSize)]
	if end := start + len(page); end < len(items) {
		last := keyedBy(filter.IntValue(int64(end)), "", itemHash(id(items[end-1])))
		next = writeToken(p.query, &last)
	}
	return page, next, nil
}

// index is the key of a position in a list that has an order of its own.
func (p *position) index() (int, bool) {
	if len(p.keys) != 1 {
		return 0, false
	}
	n, ok := p.keys[0].Int()
	return int(n), ok && n >= 0 && n <= math.MaxInt32
}

// itemHash stands for an item's id in a token, whatever the length of the id.
func itemHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:8])
}

// queryHash binds a token to the query that it goes on with.
type queryHash [8]byte

// hashQuery hashes every field of a request that chooses or orders items.
func hashQuery(req pageRequest) queryHash {
	query := proto.Clone(req).ProtoReflect()
	for _, paging := range [...]protoreflect.Name{"page_size", "page_token", "skip"} {
		if field := query.Descriptor().Fields().ByName(paging); field != nil {
			query.Clear(field)
		}
	}
	// Deterministic within one build: after an upgrade an old token may be
	// refused, and its list begins anew.
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(query.Interface())
	if err != nil {
		text = nil // a request that came over the wire always marshals
	}
	sum := sha256.Sum256(append([]byte(query.Descriptor().FullName()), text...))
	return queryHash(sum[:8])
}

// writeToken packs: version, query, the number of keys, the keys, two texts with
// their lengths, and a sum against damage.
func writeToken(query queryHash, p *position) string {
	b := append([]byte{tokenVersion}, query[:]...)
	b = append(b, byte(len(p.keys)))
	for _, key := range p.keys {
		b = key.Append(b)
	}
	b = appendText(appendText(b, p.viewer), p.id)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

var (
	errDamagedToken = errors.New("it is damaged")
	errOtherQuery   = errors.New("it belongs to another query")
)

// readToken reads the position behind which a page begins.
func readToken(token string, query queryHash) (*position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	const head = 1 + len(query) + 1
	if err != nil || len(b) < head+4 || b[0] != tokenVersion {
		return nil, errDamagedToken
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return nil, errDamagedToken
	}
	if queryHash(body[1:1+len(query)]) != query {
		return nil, errOtherQuery
	}
	p := &position{keys: make([]filter.Value, 0, filter.MaxOrderKeys)}
	rest := body[head:]
	for range body[head-1] {
		key, behind, ok := filter.ReadValue(rest)
		if !ok || len(p.keys) == filter.MaxOrderKeys {
			return nil, errDamagedToken
		}
		p.keys, rest = append(p.keys, key), behind
	}
	d := &tokenReader{b: rest}
	if p.viewer, p.id = d.text(), d.text(); d.invalid || len(d.b) > 0 {
		return nil, errDamagedToken
	}
	return p, nil
}

// invalidPageToken refuses a token.
func invalidPageToken(why error) *apierr.Error {
	f := apierr.Invalid("page_token", "cannot be used: %v", why)
	f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_PAGE_TOKEN_INVALID
	f.Code, f.Cause = codes.InvalidArgument, fmt.Errorf("read the page token: %w", why)
	return f
}
