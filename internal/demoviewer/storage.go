package demoviewer

import (
	"cmp"
	"slices"
	"strings"
)

// storage is what lies under one storage root.
type storage struct {
	runs   map[string]*Record
	order  []string // ids as they were added, which keeps equal sort keys in a fixed order
	sample bool     // whether the sample is there, with its artifacts
}

// add puts a run in.
func (s *storage) add(r *Record) {
	s.runs[r.ID] = r
	s.order = append(s.order, r.ID)
}

// remove deletes a run for good.
func (s *storage) remove(id string) {
	delete(s.runs, id)
	s.order = slices.DeleteFunc(s.order, func(known string) bool { return known == id })
}

// Visible finds a run that is not in the bin. Called with mu held.
func (v *Viewer) Visible(id string) *Record {
	r := v.store().runs[id]
	if r == nil || r.deletedAt != 0 {
		return nil
	}
	return r
}

// list returns the runs in the generation's order, those of the bin instead of the others when deleted is set.
func (g *generation) list(s *storage, deleted bool) []*Record {
	runs := make([]*Record, 0, len(s.order))
	for _, id := range s.order {
		if r := s.runs[id]; (r.deletedAt != 0) == deleted {
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b *Record) int {
		switch {
		case g.sqlite && deleted:
			return cmp.Or(cmp.Compare(b.deletedAt, a.deletedAt), cmp.Compare(b.Created, a.Created))
		case g.sqlite:
			return cmp.Compare(b.Created, a.Created)
		case g.projects: // newest folder first within a name
			return cmp.Or(
				strings.Compare(strings.ToLower(a.Project), strings.ToLower(b.Project)),
				strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
				cmp.Compare(b.Created, a.Created),
			)
		default:
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.ID, b.ID))
		}
	})
	return runs
}

// items renders runs for a list.
func (v *Viewer) items(runs []*Record) []any {
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

// shownTags splits tags at commas in 0.7, which stores them joined.
func (g *generation) shownTags(tags []string) []string {
	if g.sqlite && len(tags) > 0 {
		return strings.Split(strings.Join(tags, ","), ",")
	}
	return append([]string{}, tags...)
}
