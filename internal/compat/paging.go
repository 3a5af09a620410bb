package compat

// maxPage is the most that one page of a list has.
const maxPage = 1000

// window is the part of a list that is wanted. The client knows no pages, so
// without a limit that is all of it.
type window struct{ offset, limit int }

// pageOf asks for one page of a list.
type pageOf[T any] func(size int32, token string) (items []T, next string, err error)

// readWindow reads as many pages as the window needs of a list, counting only what
// keep keeps.
func readWindow[T any](win window, keep func(T) bool, page pageOf[T]) ([]T, error) {
	size, token, seen := int32(maxPage), "", 0
	if wanted := win.offset + win.limit; win.limit > 0 && wanted < maxPage {
		size = int32(wanted) //nolint:gosec // below maxPage
	}
	var out []T
	for {
		items, next, err := page(size, token)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if !keep(item) {
				continue
			}
			if seen++; seen <= win.offset {
				continue
			}
			out = append(out, item)
			if len(out) == win.limit {
				return out, nil
			}
		}
		if next == "" {
			return out, nil
		}
		token = next
	}
}

// all keeps everything.
func all[T any](T) bool { return true }
