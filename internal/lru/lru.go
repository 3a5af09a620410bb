// Package lru keeps values in the order of their last use, so that a bound can be kept
// at the cost of those that were not used for the longest time.
package lru

import "container/list"

// Cache is a map that knows the order of use. The zero Cache is ready for use. It is not
// safe for concurrent use: whoever bounds it guards it together with its size.
type Cache[K comparable, V any] struct {
	items  map[K]*list.Element
	recent list.List // of item, the most recently used in front
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// Get returns the value of a key, which is then the most recently used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(e)
	return c.at(e).value, true
}

// Put sets the value of a key, which is then the most recently used.
func (c *Cache[K, V]) Put(key K, value V) {
	c.Remove(key)
	if c.items == nil {
		c.items = make(map[K]*list.Element)
	}
	c.items[key] = c.recent.PushFront(item[K, V]{key, value})
}

// Remove removes a key, if it is there.
func (c *Cache[K, V]) Remove(key K) {
	if e, ok := c.items[key]; ok {
		c.recent.Remove(e)
		delete(c.items, key)
	}
}

// Len is the number of values.
func (c *Cache[K, V]) Len() int { return len(c.items) }

// Oldest calls yield for all values, the least recently used first, until it returns
// false. The value at hand may be removed meanwhile.
func (c *Cache[K, V]) Oldest(yield func(K, V) bool) {
	for e := c.recent.Back(); e != nil; {
		i := c.at(e)
		e = e.Prev()
		if !yield(i.key, i.value) {
			return
		}
	}
}

func (*Cache[K, V]) at(e *list.Element) item[K, V] {
	return e.Value.(item[K, V]) //nolint:errcheck,forcetypeassert // the list holds nothing else
}
