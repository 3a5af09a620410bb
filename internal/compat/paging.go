package compat

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxPage is the maximum number of items on a page of the API.
const maxPage = 1000

// window is the requested part of a list. The client does not use pages, so without a
// limit it is the whole list.
type window struct{ offset, limit int }

// readWindow reads as many pages of a list as the window needs. Only items for which keep
// is true count; nil keeps all. It sets the paging fields of the request.
func readWindow[Q proto.Message, R interface{ GetNextPageToken() string }, T any](
	ctx context.Context, method func(context.Context, Q, ...grpc.CallOption) (R, error), request Q, items func(R) []T,
	win window, keep func(T) bool,
) ([]T, error) {
	size := int32(maxPage)
	if wanted := win.offset + win.limit; win.limit > 0 && wanted < maxPage {
		size = int32(wanted) //nolint:gosec // below maxPage
	}
	page, fields := request.ProtoReflect(), request.ProtoReflect().Descriptor().Fields()
	page.Set(fields.ByName("page_size"), protoreflect.ValueOfInt32(size))
	var out []T
	for seen := 0; ; {
		resp, err := method(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, item := range items(resp) {
			if keep != nil && !keep(item) {
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
		if resp.GetNextPageToken() == "" {
			return out, nil
		}
		page.Set(fields.ByName("page_token"), protoreflect.ValueOfString(resp.GetNextPageToken()))
	}
}

// listed returns a response with a named list of converted items, never null.
func listed[T, U any](name string, items []T, convert func(T) U) answer {
	return document{map[string]any{name: convertAll(items, convert)}}
}

// convertAll converts a list to one that is never null.
func convertAll[T, U any](items []T, convert func(T) U) []U {
	out := make([]U, 0, len(items))
	for _, item := range items {
		out = append(out, convert(item))
	}
	return out
}
