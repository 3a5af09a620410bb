package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
)

// Pause waits; an error means that the context has ended before.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read reads a response on a connection of its own.
func Read(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// Get reads a response to its end.
func Get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// Drain reads a stream to its end.
func Drain[T any](stream grpc.ServerStreamingClient[T]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// AppendLines appends lines to an event file, as a training process does, and returns
// their size in bytes. The time of each line is the current time.
func AppendLines(path string, first, n int) (int64, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var size int64
	for i := range n {
		now := float64(time.Now().UnixNano()) / 1e9
		k, err := fmt.Fprintf(f, "{\"ts\": %.6f, \"type\": \"metrics\", \"data\": {\"loss\": 0.5, \"global_step\": %d, \"time\": %.6f}}\n", now, first+i, now)
		if err != nil {
			return 0, err
		}
		size += int64(k)
	}
	return size, f.Close()
}
