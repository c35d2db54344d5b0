package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// parseAddress reads the address of one host. Names of hosts are refused: what one means
// changes without the file, so that two balancers with the same file would differ, and
// whoever answers the question says where traffic goes.
func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() == "" {
		return a.Unmap(), nil
	}
	return netip.Addr{}, fmt.Errorf("%q is not an IP address; want one alone, as in 192.0.2.10 or 2001:db8::10%s", s, insteadOf(s))
}

// hostName is a name of RFC 1123, which no address is: its last label begins with a letter.
var hostName = regexp.MustCompile(`(?i)^([a-z0-9_-]+\.)*[a-z][a-z0-9_-]*\.?$`)

// insteadOf says what s is, if it is something that people write for an address.
func insteadOf(s string) string {
	switch {
	case hostName.MatchString(s):
		return " (it is a host name; names are not looked up: what one means changes without this file, and whoever answers would say where traffic goes)"
	case isAddress(strings.Trim(s, "[]")):
		return " (leave out the brackets)"
	case isAddressPort(s):
		return " (the port goes under port)"
	case isNetwork(s):
		return " (it is a network)"
	}
	return ""
}

func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func isAddressPort(s string) bool {
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

func isNetwork(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}
