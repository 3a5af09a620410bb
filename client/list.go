package client

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// pageSize is the default number of experiments per page.
const pageSize = 500

// PartialError describes what a list lacks; the entries returned before it are valid.
type PartialError struct {
	Unreachable []*runicornapiv1.UnreachableViewer // Viewers that did not answer
	NotRead     []*runicornapiv1.ExperimentResult  // experiments that could not be read
	NotReadSum  int                                // number of experiments that could not be read; NotRead may have fewer
}

// Error names each Viewer, and one of the experiments, with the causes.
func (e *PartialError) Error() string {
	var parts []string
	for _, u := range e.Unreachable {
		parts = append(parts, fmt.Sprintf("viewer %s: %s", u.GetViewer(), u.GetError().GetMessage()))
	}
	if len(e.NotRead) > 0 {
		first := e.NotRead[0]
		parts = append(parts, fmt.Sprintf("%d experiments could not be read, such as %s: %s", e.NotReadSum, first.GetRunId(), first.GetError().GetMessage()))
	}
	return "the list is incomplete: " + strings.Join(parts, "; ")
}

// Experiments lists experiments over all pages, newest first unless the request has
// another order. If the page size of the request is 0, it is 500.
//
// An error ends the sequence. If it is a *PartialError, the list is complete except
// for what the error names.
func (c *Client) Experiments(ctx context.Context, request *runicornapiv1.ListExperimentsRequest) iter.Seq2[*runicornapiv1.Experiment, error] {
	return func(yield func(*runicornapiv1.Experiment, error) bool) {
		request := proto.CloneOf(request)
		if request == nil {
			request = &runicornapiv1.ListExperimentsRequest{}
		}
		if request.GetPageSize() == 0 {
			request.PageSize = pageSize
		}
		missing := &missing{seen: map[string]bool{}}
		for {
			page, err := c.ExperimentService.ListExperiments(ctx, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range page.GetExperiments() {
				if !yield(e, nil) {
					return
				}
			}
			missing.add(page)
			request.Skip = 0 // it is for the first page
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if len(missing.seen) > 0 {
			yield(nil, &missing.PartialError)
		}
	}
}

// missing collects what the pages lack, without duplicates.
type missing struct {
	PartialError
	seen map[string]bool
}

func (m *missing) add(page *runicornapiv1.ListExperimentsResponse) {
	for _, u := range page.GetUnreachable() {
		if !m.seen[u.GetViewer()] {
			m.seen[u.GetViewer()] = true
			m.Unreachable = append(m.Unreachable, u)
		}
	}
	for _, r := range page.GetNotRead() {
		if key := r.GetViewer() + "/" + r.GetRunId(); !m.seen[key] {
			m.seen[key] = true
			m.NotRead = append(m.NotRead, r)
		}
	}
	m.NotReadSum = max(m.NotReadSum, int(page.GetNotReadCount()), len(m.NotRead))
}
