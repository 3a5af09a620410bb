package demoviewer

import (
	"cmp"
	"slices"
	"strings"
)

// storage is what lies under one storage root.
type storage struct {
	root      string
	runs      map[string]*run
	order     []string // ids as they were added, which keeps equal sort keys in a fixed order
	artifacts []*artifact
	poolBytes int64 // size of the pool that 0.5's artifact statistics compare with; deleting never shrinks it
}

// newStorage makes an empty storage.
func newStorage(root string) *storage {
	return &storage{root: root, runs: map[string]*run{}}
}

// add puts a run in.
func (s *storage) add(r *run) {
	s.runs[r.id] = r
	s.order = append(s.order, r.id)
}

// remove deletes runs for good.
func (s *storage) remove(ids ...string) {
	for _, id := range ids {
		delete(s.runs, id)
	}
	s.order = slices.DeleteFunc(s.order, func(id string) bool { return s.runs[id] == nil })
}

// visible finds a run that is not in the bin.
func (s *storage) visible(id string) *run {
	r := s.runs[id]
	if r == nil || r.deletedAt != 0 {
		return nil
	}
	return r
}

// list returns the runs in the generation's order, those of the bin instead of the others when deleted is set.
func (g *generation) list(s *storage, deleted bool) []*run {
	runs := make([]*run, 0, len(s.order))
	for _, id := range s.order {
		if r := s.runs[id]; (r.deletedAt != 0) == deleted {
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b *run) int {
		switch {
		case g.sqlite && deleted:
			return cmp.Or(cmp.Compare(b.deletedAt, a.deletedAt), cmp.Compare(b.created, a.created))
		case g.sqlite:
			return cmp.Compare(b.created, a.created)
		case g.projects: // newest folder first within a name
			return cmp.Or(
				strings.Compare(strings.ToLower(a.project), strings.ToLower(b.project)),
				strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)),
				cmp.Compare(b.created, a.created),
			)
		default:
			return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.id, b.id))
		}
	})
	return runs
}

// items renders runs for a list.
func (v *Viewer) items(runs []*run) []any {
	now := v.clock()
	items := make([]any, 0, len(runs))
	for _, r := range runs {
		items = append(items, v.gen.item(v.root, r, now))
	}
	return items
}

// below tells whether a path is prefix or lies below it, segment by segment.
func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// sortedKeys lists a set in the order of code points; never nil, so that JSON has [].
func sortedKeys[V any](set map[string]V) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// shownTags splits tags at commas in 0.7, which stores them joined.
func (g *generation) shownTags(tags []string) []string {
	shown := []string{}
	for _, tag := range tags {
		if !g.sqlite {
			shown = append(shown, tag)
			continue
		}
		shown = append(shown, strings.Split(tag, ",")...)
	}
	return shown
}

// folder is where a run lies: its path, or project/name in 0.5.
func (g *generation) folder(r *run) string {
	if g.projects {
		return r.project + "/" + r.name
	}
	return r.path
}
