// Package netaddr tells which hosts can only be this machine.
package netaddr

import (
	"net/netip"
	"strings"
)

// IsLoopback reports whether a host can only be this machine: localhost, or an address in
// 127.0.0.0/8 or ::1, IPv4-mapped or not, without a zone. Other names are refused even if
// they resolve to such an address: DNS rebinding changes what a name resolves to. The host
// has no port and no brackets; an empty host means all addresses and is refused.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}
