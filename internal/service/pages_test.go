package service

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
)

// numbered makes items whose place is their number; a negative one has no key.
func numbered(ids ...int) []placed[int] {
	items := make([]placed[int], 0, len(ids))
	for _, id := range ids {
		at := position{viewer: "v", id: fmt.Sprintf("%04d", id)}
		if id >= 0 {
			at.key = numberKey(float64(id / 2)) // pairs are ties
		}
		items = append(items, placed[int]{at, id})
	}
	return items
}

func TestPagesGoThroughAllItemsOnceInOrder(t *testing.T) {
	for _, desc := range []bool{false, true} {
		want := []int{0, 1, 2, 3, 4, 5, 6, -1}
		if desc {
			want = []int{6, 4, 5, 2, 3, 0, 1, -1}
		}
		for size := int32(1); size <= 9; size++ {
			var got []int
			req := &runicornv1.ListProjectsRequest{PageSize: size}
			for range len(want) + 1 {
				items := numbered(0, 1, 2, 3, 4, 5, 6, -1)
				rand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
				p, err := newPager(req)
				if err != nil {
					t.Fatal(err)
				}
				page, next := cut(p, items, desc)
				got = append(got, page...)
				if req.PageToken = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d, descending %t: got %v, want %v", size, desc, got, want)
			}
		}
	}
}

func TestAPageGoesOnBehindItsTokenWhateverCameOrWent(t *testing.T) {
	req := &runicornv1.ListProjectsRequest{PageSize: 2}
	p, err := newPager(req)
	if err != nil {
		t.Fatal(err)
	}
	_, token := cut(p, numbered(10, 20, 30, 40), false)
	for _, tt := range []struct {
		name  string
		items []int
		want  []int
	}{
		{"nothing changed", []int{10, 20, 30, 40}, []int{30, 40}},
		{"new items before it", []int{1, 2, 3, 10, 20, 30, 40}, []int{30, 40}},
		{"the item of the token is gone", []int{10, 30, 40}, []int{30, 40}},
		{"all items before it are gone", []int{30, 40}, []int{30, 40}},
		{"new items behind it", []int{10, 20, 25, 30, 40}, []int{25, 30}},
		{"all items are gone", nil, []int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := newPager(&runicornv1.ListProjectsRequest{PageSize: 2, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if page, _ := cut(p, numbered(tt.items...), false); !slices.Equal(page, tt.want) {
				t.Errorf("got %v, want %v", page, tt.want)
			}
		})
	}
}

func TestPageSizeAndSkip(t *testing.T) {
	many := make([]int, 1500)
	for i := range many {
		many[i] = i
	}
	for _, tt := range []struct {
		name       string
		size, skip int32
		want       int
		more       bool
	}{
		{"the default is 50", 0, 0, 50, true},
		{"more than 1000 is 1000", 5000, 0, 1000, true},
		{"skip leaves out", 1000, 600, 900, false},
		{"skip beyond the end leaves nothing", 10, 5000, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := newPager(&runicornv1.ListProjectsRequest{PageSize: tt.size, Skip: tt.skip})
			if err != nil {
				t.Fatal(err)
			}
			page, next := cut(p, numbered(many...), false)
			if len(page) != tt.want || (next != "") != tt.more {
				t.Errorf("got %d items and token %q, want %d and more: %t", len(page), next, tt.want, tt.more)
			}
		})
	}
}

func TestATokenFitsItsFieldWhateverTheTexts(t *testing.T) {
	long := strings.Repeat("ж", 3000)
	p := &position{key: textKey(long), viewer: strings.Repeat("v", 63), id: clip(long)}
	token := writeToken(queryHash{1}, p)
	if len(token) > 4096 {
		t.Errorf("token of %d bytes, want at most 4096", len(token))
	}
	got, err := readToken(token, queryHash{1})
	if err != nil || *got != *p {
		t.Errorf("got %v and error %v, want %v", got, err, p)
	}
}

func TestTokensOfOtherQueriesAreRefused(t *testing.T) {
	req := &runicornv1.ListExperimentsRequest{Project: "vision", PageSize: 1}
	p, err := newPager(req)
	if err != nil {
		t.Fatal(err)
	}
	_, token := cut(p, numbered(1, 2), false)
	damaged := []byte(token)
	damaged[len(damaged)/2] ^= 1
	for _, tt := range []struct {
		name string
		req  pageRequest
		ok   bool
	}{
		{"another size and skip are fine", &runicornv1.ListExperimentsRequest{Project: "vision", PageSize: 7, Skip: 1, PageToken: token}, true},
		{"another filter", &runicornv1.ListExperimentsRequest{Project: "nlp", PageToken: token}, false},
		{"another order", &runicornv1.ListExperimentsRequest{Project: "vision", OrderBy: "name", PageToken: token}, false},
		{"another method", &runicornv1.ListProjectsRequest{PageToken: token}, false},
		{"damaged", &runicornv1.ListExperimentsRequest{Project: "vision", PageToken: string(damaged)}, false},
		{"cut", &runicornv1.ListExperimentsRequest{Project: "vision", PageToken: token[:len(token)-4]}, false},
		{"no base64", &runicornv1.ListExperimentsRequest{Project: "vision", PageToken: "%%%"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newPager(tt.req)
			if tt.ok {
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				return
			}
			wantError(t, toFailure(t.Context(), err).GRPCStatus().Err(), codes.InvalidArgument, "PAGE_TOKEN_INVALID")
		})
	}
}

func FuzzPageToken(f *testing.F) {
	query := queryHash{1, 2, 3}
	for _, p := range []position{
		{},
		{key: numberKey(math.Inf(-1)), viewer: "default", id: "20260101_000000_abcdef"},
		{key: textKey("проект/имя"), viewer: "lab.abc", id: "x"},
	} {
		f.Add(writeToken(query, &p))
	}
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := readToken(token, query)
		if err != nil {
			return
		}
		if again := writeToken(query, p); again != token {
			// Only the padding of a varint may differ.
			b, _ := base64.RawURLEncoding.DecodeString(again)
			if a, _ := base64.RawURLEncoding.DecodeString(token); len(a) < len(b) {
				t.Fatalf("token %q is read as %+v, which is written as %q", token, p, again)
			}
		}
	})
}

func FuzzPageTokenRoundTrip(f *testing.F) {
	f.Add(true, 1.5, "text", "viewer", "run")
	f.Fuzz(func(t *testing.T, known bool, number float64, text, viewer, id string) {
		if math.IsNaN(number) {
			return
		}
		want := position{key: sortKey{known: known, number: number, text: text}, viewer: viewer, id: id}
		got, err := readToken(writeToken(queryHash{}, &want), queryHash{})
		if err != nil || *got != want {
			t.Fatalf("got %+v and error %v, want %+v", got, err, want)
		}
	})
}
