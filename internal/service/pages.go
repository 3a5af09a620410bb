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

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
)

const (
	defaultPageSize = 50
	maxPageSize     = 1000
	// maxKeyText is how much of a text, in bytes, counts for order and
	// tokens, so that a token always fits into the 4096 bytes of its field.
	maxKeyText = 1024
	// tokenVersion is the first byte of a token.
	tokenVersion = 1
)

// sortKey is what one item is ordered by: a number, then a text. An item
// without a key comes last in both directions.
type sortKey struct {
	known  bool
	number float64
	text   string
}

// numberKey and textKey make keys; NaN and the empty text are no key.
func numberKey(n float64) sortKey { return sortKey{known: !math.IsNaN(n), number: n} }

func textKey(text string) sortKey { return sortKey{known: text != "", text: clip(text)} }

// clip cuts a text to what counts of it.
func clip(text string) string { return text[:min(len(text), maxKeyText)] }

// position is an item's place in its order: a keyset, so that items that come
// or go elsewhere shift nothing.
type position struct {
	key        sortKey
	viewer, id string
}

// compare orders positions; desc turns the keys around, and neither those
// without a key nor the ties.
func (p *position) compare(other *position, desc bool) int {
	if p.key.known != other.key.known {
		if p.key.known {
			return -1
		}
		return 1
	}
	byKey := cmp.Or(cmp.Compare(p.key.number, other.key.number), strings.Compare(p.key.text, other.key.text))
	if desc {
		byKey = -byKey
	}
	return cmp.Or(byKey, strings.Compare(p.viewer, other.viewer), strings.Compare(p.id, other.id))
}

// pageRequest is a request of a list.
type pageRequest interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
	GetSkip() int32
}

// pager cuts one page.
type pager struct {
	query      queryHash
	size, skip int
	after      *position
}

// newPager reads what a request says about its page.
func newPager(req pageRequest) (*pager, error) {
	p := &pager{query: hashQuery(req), size: int(req.GetPageSize()), skip: int(req.GetSkip())}
	if p.size == 0 {
		p.size = defaultPageSize
	}
	p.size = min(p.size, maxPageSize)
	if token := req.GetPageToken(); token != "" {
		after, err := readToken(token, p.query)
		if err != nil {
			return nil, invalidPageToken(err)
		}
		p.after = after
	}
	return p, nil
}

// placed is an item with its place.
type placed[T any] struct {
	position
	item T
}

// cut orders items in place and returns the page of them with the token of
// the next one, which is empty on the last page.
func cut[T any](p *pager, items []placed[T], desc bool) (page []T, next string) {
	slices.SortFunc(items, func(a, b placed[T]) int { return a.compare(&b.position, desc) })
	if p.after != nil {
		behind, found := slices.BinarySearchFunc(items, p.after, func(item placed[T], after *position) int {
			return item.compare(after, desc)
		})
		if found {
			behind++
		}
		items = items[behind:]
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

// fitting is how many of the items fit into a message of so many bytes, and one
// at least: a page may have fewer than were asked for, but it cannot be empty and
// have another one behind it.
func fitting[M proto.Message](items []M, room int) int {
	const framing = 6 // the tag and the length of an item
	for i, item := range items {
		if room -= proto.Size(item) + framing; room < 0 && i > 0 {
			return i
		}
	}
	return len(items)
}

// queryHash binds a token to the query that it goes on with.
type queryHash [8]byte

// hashQuery hashes every field of a request that chooses or orders items.
func hashQuery(req pageRequest) queryHash {
	query := proto.Clone(req).ProtoReflect()
	for _, paging := range [...]protoreflect.Name{"page_size", "page_token", "skip"} {
		query.Clear(query.Descriptor().Fields().ByName(paging))
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

// writeToken packs: version, query, whether the key is known, its number,
// three texts with their lengths, and a sum against damage.
func writeToken(query queryHash, p *position) string {
	b := append([]byte{tokenVersion}, query[:]...)
	known := byte(0)
	if p.key.known {
		known = 1
	}
	b = append(b, known)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(p.key.number))
	for _, text := range [...]string{p.key.text, p.viewer, p.id} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

var (
	errDamagedToken = errors.New("it is damaged")
	errForeignToken = errors.New("it belongs to another query")
)

// readToken reads the position behind which a page begins.
func readToken(token string, query queryHash) (*position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	const head = 1 + len(query) + 1 + 8
	if err != nil || len(b) < head+4 || b[0] != tokenVersion {
		return nil, errDamagedToken
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return nil, errDamagedToken
	}
	if queryHash(body[1:1+len(query)]) != query {
		return nil, errForeignToken
	}
	p := &position{key: sortKey{
		known:  body[1+len(query)] == 1,
		number: math.Float64frombits(binary.BigEndian.Uint64(body[2+len(query):])),
	}}
	rest := body[head:]
	for _, text := range [...]*string{&p.key.text, &p.viewer, &p.id} {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, errDamagedToken
		}
		*text, rest = string(rest[used:used+int(n)]), rest[used+int(n):] //nolint:gosec // at most len(rest)
	}
	if len(rest) > 0 || math.IsNaN(p.key.number) {
		return nil, errDamagedToken
	}
	return p, nil
}

// invalidPageToken refuses a token.
func invalidPageToken(why error) *failure {
	f := invalid("page_token", "cannot be used: %v", why)
	f.reason = runicornv1.ErrorReason_ERROR_REASON_PAGE_TOKEN_INVALID
	f.code, f.cause = codes.InvalidArgument, fmt.Errorf("read the page token: %w", why)
	return f
}
