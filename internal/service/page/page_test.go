package page

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
)

// numbered makes items whose position is their number; a negative one has no key.
func numbered(ids ...int) []Keyed[int] {
	items := make([]Keyed[int], 0, len(ids))
	for _, id := range ids {
		at := At(filter.Value{}, "v", fmt.Sprintf("%04d", id))
		if id >= 0 {
			at.Keys[0] = filter.NumberValue(float64(id / 2)) // pairs are ties
		}
		items = append(items, Keyed[int]{at, id})
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
			req := &runicornapiv1.ListProjectsRequest{PageSize: size}
			for range len(want) + 1 {
				items := numbered(0, 1, 2, 3, 4, 5, 6, -1)
				rand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
				p, err := New(req)
				if err != nil {
					t.Fatal(err)
				}
				page, next := Paginate(p, items, desc)
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

func TestAPageContinuesAfterItsTokenWhenItemsComeAndGo(t *testing.T) {
	req := &runicornapiv1.ListProjectsRequest{PageSize: 2}
	p, err := New(req)
	if err != nil {
		t.Fatal(err)
	}
	_, token := Paginate(p, numbered(10, 20, 30, 40), false)
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
			p, err := New(&runicornapiv1.ListProjectsRequest{PageSize: 2, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if page, _ := Paginate(p, numbered(tt.items...), false); !slices.Equal(page, tt.want) {
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
			p, err := New(&runicornapiv1.ListProjectsRequest{PageSize: tt.size, Skip: tt.skip})
			if err != nil {
				t.Fatal(err)
			}
			page, next := Paginate(p, numbered(many...), false)
			if len(page) != tt.want || (next != "") != tt.more {
				t.Errorf("got %d items and token %q, want %d and more: %t", len(page), next, tt.want, tt.more)
			}
		})
	}
}

func TestATokenFitsItsFieldWhateverTheTexts(t *testing.T) {
	long := strings.Repeat("ж", 3000)
	p := &Position{Viewer: strings.Repeat("v", 256), ID: Truncate(long)}
	for range filter.MaxOrderKeys {
		p.Keys = append(p.Keys, filter.TextValue(long).Truncate(MaxKeyText))
	}
	token := writeToken(queryHash{1}, p)
	if len(token) > 4096 {
		t.Errorf("token of %d bytes, want at most 4096", len(token))
	}
	got, err := readToken(token, queryHash{1})
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("got %v and error %v, want %v", got, err, p)
	}
}

func TestTokensOfOtherQueriesAreRefused(t *testing.T) {
	req := &runicornapiv1.ListExperimentsRequest{PageSize: 1, Filter: "project = vision"}
	p, err := New(req)
	if err != nil {
		t.Fatal(err)
	}
	_, token := Paginate(p, numbered(1, 2), false)
	damaged := []byte(token)
	damaged[len(damaged)/2] ^= 1
	for _, tt := range []struct {
		name string
		req  Request
		ok   bool
	}{
		{"another size and skip are fine", &runicornapiv1.ListExperimentsRequest{PageSize: 7, Skip: 1, PageToken: token, Filter: "project = vision"}, true},
		{"another filter", &runicornapiv1.ListExperimentsRequest{PageToken: token, Filter: "project = nlp"}, false},
		{"another order", &runicornapiv1.ListExperimentsRequest{OrderBy: "name", PageToken: token, Filter: "project = vision"}, false},
		{"another method", &runicornapiv1.ListProjectsRequest{PageToken: token}, false},
		{"damaged", &runicornapiv1.ListExperimentsRequest{PageToken: string(damaged), Filter: "project = vision"}, false},
		{"cut", &runicornapiv1.ListExperimentsRequest{PageToken: token[:len(token)-4], Filter: "project = vision"}, false},
		{"no base64", &runicornapiv1.ListExperimentsRequest{PageToken: "%%%", Filter: "project = vision"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.req)
			if tt.ok {
				if err != nil {
					t.Fatalf("got error %v, want none", err)
				}
				return
			}
			apierrtest.WantError(t, errmap.APIError(t.Context(), err).GRPCStatus().Err(), codes.InvalidArgument, "PAGE_TOKEN_INVALID")
		})
	}
}

func FuzzPageToken(f *testing.F) {
	query := queryHash{1, 2, 3}
	for _, p := range []Position{
		{},
		At(filter.NumberValue(math.Inf(-1)), "default", "20260101_000000_abcdef"),
		At(filter.TextValue("проект/имя"), "lab.abc", "x"),
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
		want := Position{Keys: []filter.Value{filter.NumberValue(number), filter.TextValue(text)}, Viewer: viewer, ID: id}
		if !known {
			want.Keys[0] = filter.Value{}
		}
		got, err := readToken(writeToken(queryHash{}, &want), queryHash{})
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("got %+v and error %v, want %+v", got, err, want)
		}
	})
}

// TestPagesOfListsWithAFixedOrder: a page continues after the last item of the previous
// one, wherever the item is now, and at its old index if it was removed.
func TestPagesOfListsWithAFixedOrder(t *testing.T) {
	list := func(names ...string) (out []*runicornapiv1.DirectoryEntry) {
		for _, name := range names {
			out = append(out, &runicornapiv1.DirectoryEntry{Name: name})
		}
		return out
	}
	page := func(token string, size int32, items []*runicornapiv1.DirectoryEntry) (string, string) {
		got, next, err := InOrder(&runicornapiv1.ListDirectoryRequest{ConnectionId: "c", PageSize: size, PageToken: token}, items, (*runicornapiv1.DirectoryEntry).GetName)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range got {
			names = append(names, e.GetName())
		}
		return strings.Join(names, " "), next
	}
	long := strings.Repeat("long", 2000)
	for _, size := range []int32{1, 2, 3, 0} {
		var all []string
		for token, more := "", true; more; more = token != "" {
			var names string
			names, token = page(token, size, list("b", "a", long, "c"))
			all = append(all, names)
		}
		if got := strings.Join(all, " "); got != "b a "+long+" c" {
			t.Errorf("pages of %d: %.40q", size, got)
		}
	}
	_, token := page("", 2, list("b", "a", "d", "c"))
	for want, items := range map[string][]*runicornapiv1.DirectoryEntry{
		"d c":   list("new", "b", "a", "d", "c"),
		"b d c": list("a", "b", "d", "c"),
		"c":     list("b", "d", "c"),
		"":      nil,
	} {
		if got, _ := page(token, 5, items); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	many := make([]string, 1200)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	if names, next := page("", 0, list(many...)); strings.Count(names, " ") != 999 || next == "" {
		t.Errorf("%d items without a page size, token %q", strings.Count(names, " ")+1, next)
	}
	_, err := New(&runicornapiv1.ListDirectoryRequest{ConnectionId: "other", PageToken: token})
	apierrtest.WantError(t, errmap.APIError(t.Context(), err).GRPCStatus().Err(), codes.InvalidArgument, "PAGE_TOKEN_INVALID")
}
