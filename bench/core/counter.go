package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counter is a TCP relay that counts the bytes that come from a Viewer,
// headers included: the only place where they cannot be miscounted.
type counter struct {
	target   string
	listener net.Listener
	conns    sync.WaitGroup
	down     atomic.Int64
}

func newCounter(viewerURL string) (*counter, error) {
	u, err := url.Parse(viewerURL)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{target: u.Host, listener: l}
	c.conns.Go(c.accept)
	return c, nil
}

// URL is where the relay listens.
func (c *counter) URL() string { return "http://" + c.listener.Addr().String() }

// Bytes is how many bytes came from the Viewer so far.
func (c *counter) Bytes() int64 { return c.down.Load() }

// Close stops listening and waits for the connections to end.
func (c *counter) Close() error {
	err := c.listener.Close()
	c.conns.Wait()
	return err
}

func (c *counter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.conns.Go(func() { c.relay(client) })
	}
}

func (c *counter) relay(client net.Conn) {
	defer client.Close()
	viewer, err := net.Dial("tcp", c.target) //nolint:noctx // ends with the client's connection
	if err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(viewer, client)
		viewer.Close()
	})
	_, _ = io.Copy(client, io.TeeReader(viewer, (*downstream)(&c.down)))
	client.Close()
	up.Wait()
}

// downstream counts what is written to it.
type downstream atomic.Int64

func (d *downstream) Write(p []byte) (int, error) {
	(*atomic.Int64)(d).Add(int64(len(p)))
	return len(p), nil
}

// cpuTime is what a process has used of the processors.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in parentheses, which may hold spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc: too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// quantile of a sample, which it sorts.
func quantile(sample []time.Duration, q float64) time.Duration {
	slices.Sort(sample)
	return sample[int(q*float64(len(sample)-1))]
}
