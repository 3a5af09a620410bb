package netaddr

import "testing"

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost":             true,
		"LocalHost":             true,
		"127.0.0.1":             true,
		"127.9.9.9":             true,
		"::1":                   true,
		"0:0:0:0:0:0:0:1":       true,
		"::ffff:127.0.0.1":      true,
		"":                      false,
		"0.0.0.0":               false,
		"::":                    false,
		"10.0.0.1":              false,
		"::ffff:10.0.0.1":       false,
		"::1%lo":                false,
		"[::1]":                 false,
		"127.0.0.1:80":          false,
		"127.1":                 false,
		"0127.0.0.1":            false,
		"2130706433":            false,
		"localhost.":            false,
		"localhost.example.org": false,
		"127.0.0.1.example.org": false,
		"gpu":                   false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("%q: got %t, want %t", host, got, want)
		}
	}
}
