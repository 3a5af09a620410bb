package rig

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// Counter is a TCP relay that counts the bytes that a Viewer sends, including headers.
type Counter struct {
	target   string
	listener net.Listener
	conns    sync.WaitGroup
	down     atomic.Int64
}

func newCounter(viewerURL string) (*Counter, error) {
	u, err := url.Parse(viewerURL)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Counter{target: u.Host, listener: l}
	c.conns.Go(c.accept)
	return c, nil
}

// URL returns the URL of the relay.
func (c *Counter) URL() string { return "http://" + c.listener.Addr().String() }

// Bytes returns the number of bytes that the Viewer has sent.
func (c *Counter) Bytes() int64 { return c.down.Load() }

// Close stops listening and waits for the connections to end.
func (c *Counter) Close() error {
	err := c.listener.Close()
	c.conns.Wait()
	return err
}

func (c *Counter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.conns.Go(func() { c.relay(client) })
	}
}

func (c *Counter) relay(client net.Conn) {
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
