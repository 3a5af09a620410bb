package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// errCut stands for a network that breaks.
var errCut = errors.New("the connection was dropped")

// tail prints the points of a run as they are logged, until it ends. However
// often the connection breaks, no point is lost or printed twice: a message's
// token is kept together with its points.
func tail(ctx context.Context, address, run string, cutAfter int, out *lines) error {
	req := &runicornapiv1.TailMetricsRequest{RunIds: []string{run}}
	messages := 0
	take := func(resp *runicornapiv1.TailMetricsResponse) error {
		if err := out.event(resp); err != nil {
			return err
		}
		req = &runicornapiv1.TailMetricsRequest{ResumeToken: resp.GetResumeToken()} // a token knows its runs
		if messages++; messages == cutAfter {
			return errCut
		}
		return nil
	}
	for {
		err := follow(ctx, address, req, take)
		switch {
		case err == nil, errors.Is(err, errStop):
			return nil
		case errors.Is(err, errCut):
		case status.Code(err) == codes.Unavailable:
			select { // a server that restarts needs a moment
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return err
		}
	}
}

// follow hands on the messages of one connection. It returns nil only after
// the `end` of the run: what is cut comes as an error.
func follow(ctx context.Context, address string, req *runicornapiv1.TailMetricsRequest, take func(*runicornapiv1.TailMetricsResponse) error) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := runicornapiv1.NewMetricServiceClient(conn).TailMetrics(ctx, req)
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(resp)
		}
		if err != nil {
			return err
		}
	}
}
