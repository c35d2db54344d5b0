package config

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

var gueKeys = keys[balancer.GUESpec]{
	{name: "port", read: func(v value, g *balancer.GUESpec) { set(v, &g.Port, parsePort) }},
	{name: "variant", read: func(v value, g *balancer.GUESpec) { set(v, &g.Variant, parseVariant) }},
	{name: "checksum", read: func(v value, g *balancer.GUESpec) { set(v, &g.Checksum, parseBool) }},
}

// defaultGUE is what mode gue is that says nothing: the port is IANA's.
func defaultGUE() balancer.GUESpec { return balancer.GUESpec{Port: 6080, Variant: 1} }

// tunnelSource reads auto, one address or network, or a list of them.
func tunnelSource(v value, s *balancer.ServiceSpec) {
	one := func(v value, p *netip.Prefix) { set(v, p, parseSource) }
	if v.node.Kind == yaml.SequenceNode {
		s.TunnelSources = sequence(v, one)
		return
	}
	if v.node.Value == "auto" {
		return
	}
	var p netip.Prefix
	if one(v, &p); p.IsValid() {
		s.TunnelSources = []netip.Prefix{p}
	}
}

// parseSource reads an address, which is a network of one, or a network.
func parseSource(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := parseAddress(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network; want auto, or one as in 10.0.0.1 or 10.64.0.0/16", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func parseVariant(s string) (uint8, error) {
	switch s {
	case "0":
		return 0, nil
	case "1":
		return 1, nil
	}
	return 0, fmt.Errorf("%q is no variant of GUE; want 1, whose only header is UDP's as in Linux fou, or 0", s)
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

// parseVia reads how a check goes to a backend.
func parseVia(s string) (tunnel bool, err error) {
	via, err := parseEnum("way of a check", s, "direct", "tunnel")
	return via == "tunnel", err
}
