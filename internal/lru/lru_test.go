package lru

import (
	"slices"
	"testing"
)

func TestCache_OrdersByLastUse(t *testing.T) {
	var c Cache[string, int]
	for i, key := range []string{"a", "b", "c", "d"} {
		c.Put(key, i)
	}
	if v, ok := c.Get("a"); !ok || v != 0 {
		t.Errorf("got %d, %v", v, ok)
	}
	c.Put("b", 9)
	c.Remove("d")
	if _, ok := c.Get("d"); ok || c.Len() != 3 {
		t.Errorf("%d values, or one that was removed", c.Len())
	}
	var keys []string
	var values []int
	for key, v := range c.Oldest {
		keys, values = append(keys, key), append(values, v)
		c.Remove(key)
		if len(keys) == 2 {
			break
		}
	}
	if !slices.Equal(keys, []string{"c", "a"}) || !slices.Equal(values, []int{2, 0}) || c.Len() != 1 {
		t.Errorf("keys %v, values %v, %d left", keys, values, c.Len())
	}
}
