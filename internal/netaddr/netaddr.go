// Package netaddr tells which hosts can only be this machine.
package netaddr

import (
	"net/netip"
	"strings"
)

// IsLoopback reports whether a host can only be this machine: the name localhost,
// or an address of 127.0.0.0/8, ::1 or the first mapped to IPv6, without a zone.
// Other names are refused even where they resolve to such an address: what they
// resolve to may change, and that is how DNS rebinding works. The host has no
// port and no brackets; an empty one means all addresses, and is refused.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}
