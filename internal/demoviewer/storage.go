package demoviewer

import (
	"cmp"
	"slices"
	"strings"
)

// storage is the contents of one storage root.
type storage struct {
	runs   map[string]*Record
	order  []string // ids in order of addition, which makes sorting stable
	sample bool     // whether it has the sample with its artifacts
}

func (s *storage) add(r *Record) {
	s.runs[r.ID] = r
	s.order = append(s.order, r.ID)
}

// remove permanently deletes a run.
func (s *storage) remove(id string) {
	delete(s.runs, id)
	s.order = slices.DeleteFunc(s.order, func(known string) bool { return known == id })
}

// Visible returns a run that is not in the bin, or nil. v.mu must be held.
func (v *Viewer) Visible(id string) *Record {
	r := v.store().runs[id]
	if r == nil || r.deletedAt != 0 {
		return nil
	}
	return r
}

// list returns the runs in the generation's order: those in the bin if deleted, else the
// others.
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

// items returns the list entries of runs.
func (v *Viewer) items(runs []*Record) []any {
	now := v.clock()
	items := make([]any, 0, len(runs))
	for _, r := range runs {
		items = append(items, v.gen.item(v.root, r, now))
	}
	return items
}

// below reports whether a path is prefix or below it, by whole segments.
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
