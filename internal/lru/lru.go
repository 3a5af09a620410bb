// Package lru is a map ordered by last use, so that its owner can evict the least recently
// used values.
package lru

import "container/list"

// Cache is a map ordered by last use. The zero Cache is ready for use. It is not safe for
// concurrent use: its owner guards it together with the size limit.
type Cache[K comparable, V any] struct {
	items  map[K]*list.Element
	recent list.List // of item, most recently used first
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// Get returns the value of a key and marks it most recently used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(e)
	return c.at(e).value, true
}

// Put sets the value of a key and marks it most recently used.
func (c *Cache[K, V]) Put(key K, value V) {
	c.Remove(key)
	if c.items == nil {
		c.items = make(map[K]*list.Element)
	}
	c.items[key] = c.recent.PushFront(item[K, V]{key, value})
}

// Remove removes a key if present.
func (c *Cache[K, V]) Remove(key K) {
	if e, ok := c.items[key]; ok {
		c.recent.Remove(e)
		delete(c.items, key)
	}
}

// Len returns the number of values.
func (c *Cache[K, V]) Len() int { return len(c.items) }

// Oldest iterates over all values, least recently used first. The current value may be
// removed during the iteration.
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
