package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// heartbeat is the maximum time between messages of the server; after twice this time
// without a message the client reconnects.
const heartbeat = 5 * time.Second

// tail prints the points of a run as they are logged, until it ends. However often
// the connection fails, no point is lost or printed twice: the client resumes
// automatically. A program that is to resume after its own restart does the same as
// tail after cutAfter events: it stores the token of an event together with its points.
func tail(ctx context.Context, c *client.Client, run string, cutAfter int, out *lines) error {
	request := &runicornapiv1.TailMetricsRequest{RunIds: []string{run}, HeartbeatInterval: durationpb.New(heartbeat)}
	count, isCut := 0, true
	for isCut {
		isCut = false
		for event, err := range c.Tail(ctx, request) {
			if err == nil {
				err = out.event(event)
			}
			if errors.Is(err, errStop) {
				return nil
			}
			if err != nil {
				return err
			}
			request.ResumeToken = event.Token()
			if count++; count == cutAfter {
				isCut = true
				break
			}
		}
	}
	return nil
}
