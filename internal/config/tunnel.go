package config

import (
	"fmt"
	"net/netip"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/afxlb/afxlb/balancer"
)

var gueKeys = keys[balancer.GUESpec]{
	{
		name: "port", unset: "6080", form: into(func(g *balancer.GUESpec) *uint16 { return &g.Port }, portNumber),
		about: "the destination port",
	},
	{
		name: "variant", unset: "1", form: into(func(g *balancer.GUESpec) *uint8 { return &g.Variant }, either(parseVariant, "0 or 1", 0, 1)),
		about: "of the header: 1 has none but UDP's, as fou of Linux has it",
	},
	{
		name: "checksum", unset: "false", form: into(func(g *balancer.GUESpec) *bool { return &g.Checksum }, either(parseBool, "true or false", false, true)),
		about: "whether UDP's is computed, and not 0",
	},
}

// either is the form of values that YAML has types for, bare or in quotes.
func either[T any](parse func(string) (T, error), words string, values ...any) form[T] {
	f := single(words, "", parse)
	f.schema = &jsonschema.Schema{}
	for _, v := range values {
		f.schema.Enum = append(f.schema.Enum, v, fmt.Sprint(v))
	}
	return f
}

// defaultGUE is what mode gue is that says nothing: the port is IANA's.
func defaultGUE() balancer.GUESpec { return balancer.GUESpec{Port: 6080, Variant: 1} }

// gue reads that of a service, over that of the defaults, if there is one.
func gue(v value, g *balancer.GUESpec) {
	if *g == (balancer.GUESpec{}) {
		*g = defaultGUE()
	}
	mapping(v, g, gueKeys)
}

var tunnelSources = oneOr(single("an address or a network", `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`, parseSource)).or("auto")

// tunnelSource reads auto, one address or network, or a list of them.
func tunnelSource(v value, s *balancer.ServiceSpec) {
	if s.TunnelSources = nil; v.node.Value != "auto" {
		tunnelSources.read(v, &s.TunnelSources)
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

func showVia(tunnel bool) string {
	if tunnel {
		return "tunnel"
	}
	return "direct"
}
