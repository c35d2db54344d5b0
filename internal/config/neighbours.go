package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

var neighbourKeys = keys[balancer.StaticHop]{
	{
		name: "mac", required: "the neighbour's MAC address", form: into(func(h *balancer.StaticHop) *packet.MAC { return &h.MAC }, macAddress),
		about: "where packets for the address go",
	},
	{
		name: "port", unset: "the first served interface", form: into(func(h *balancer.StaticHop) *string { return &h.Port }, interfaceName),
		about: "the served interface that leads there",
	},
	{
		name: "tags", form: form[balancer.StaticHop]{read: tags, diff: partly(func(h *balancer.StaticHop) *packet.Tags { return &h.Tags }, whole(showTags)), looks: listOf(vlanTag).looks},
		about: "VLAN tags, the outermost first",
	},
	{
		name: "mtu", unset: "the interface's", form: into(func(h *balancer.StaticHop) *uint16 { return &h.MTU }, number[uint16](68, 65535).orNone()), // RFC 791
		about: "the longest packet that may go there",
	},
}

var (
	macAddress = single("a MAC address", `^([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2})$`, packet.ParseMAC)
	vlanTag    = single("a VLAN from 1 to 4094, or one as in 802.1ad:100", `^(802\.1ad:)?[0-9]{1,4}$`, parseTag).bare(1, 4094)

	// neighbourLooks are of addresses, each with a MAC address or keys.
	neighbourLooks = looks{words: "addresses, each with a MAC address or keys", block: neighbourKeys.settings, any: &macAddress.looks}
)

// neighbours reads a mapping of addresses to where they are: a MAC address alone, or with
// keys.
func neighbours(v value) map[netip.Addr]balancer.StaticHop {
	if v.node.Kind != yaml.MappingNode {
		v.problem("want addresses with MAC addresses, as in 10.0.0.11: 02:00:00:00:00:0b, not %s", kind(v.node))
		return nil
	}
	list := map[netip.Addr]balancer.StaticHop{}
	for k, n := range entries(v.node) {
		if !v.file.spend() {
			break
		}
		a, err := parseAddress(keyName(k))
		if err != nil {
			v.report(k, "%v", err)
			continue
		}
		if _, twice := list[a]; twice {
			v.report(k, "is given a second time; keep one")
			continue
		}
		var h balancer.StaticHop
		if child, ok := (value{file: v.file, parent: &v, key: k.Value, line: k.Line}).open(n); ok {
			if child.node.Kind == yaml.ScalarNode {
				set(child, &h.MAC, packet.ParseMAC)
			} else {
				mapping(child, &h, neighbourKeys)
			}
		}
		list[a] = h
	}
	return list
}

// diffNeighbours tells two mappings apart, each address as a key of its own.
func diffNeighbours(was, is *Config, at string, found func(Change)) {
	addresses := slices.SortedFunc(maps.Keys(is.Spec.Neighbours), netip.Addr.Compare)
	for _, a := range slices.SortedFunc(maps.Keys(was.Spec.Neighbours), netip.Addr.Compare) {
		if _, stays := is.Spec.Neighbours[a]; !stays {
			addresses = append(addresses, a)
		}
	}
	for _, a := range addresses {
		old, before := was.Spec.Neighbours[a]
		now, after := is.Spec.Neighbours[a]
		key := at + "." + a.String()
		switch {
		case before && after:
			neighbourKeys.diff(&old, &now, key, found)
		case before:
			found(Change{Key: key, Old: old.MAC.String()})
		default:
			found(Change{Key: key, New: now.MAC.String()})
		}
	}
}

// checkPorts holds the ports of neighbours against the interfaces that are served.
func checkPorts(root *value, c *Config) {
	_, n := entry(root.node, "neighbours")
	if n == nil || len(c.Interfaces) == 0 { // the command line says what is served
		return
	}
	if n = root.file.follow(n); n == nil {
		return
	}
	for k := range entries(n) {
		a, _ := parseAddress(keyName(k))
		if port := c.Spec.Neighbours[a].Port; port != "" && !slices.Contains(c.Interfaces, port) {
			root.file.add(k.Line, "neighbours."+keyName(k)+".port", fmt.Sprintf("%s is not served; want one of: %s", port, c.Interfaces))
		}
	}
}

// tags reads a list of VLAN tags, the outermost first.
func tags(v value, h *balancer.StaticHop) {
	list := sequence(v, func(v value, t *packet.Tag) { set(v, t, parseTag) })
	if len(list) > len(h.Tags) {
		v.problem("%d tags are too many; want %d at most", len(list), len(h.Tags))
		return
	}
	copy(h.Tags[:], list)
}

// showTags returns tags as a file has them.
func showTags(tags packet.Tags) string {
	var list []string
	for _, t := range tags {
		switch {
		case t == 0:
		case t>>16 == provider>>16:
			list = append(list, fmt.Sprintf("802.1ad:%d", t.VLAN()))
		default:
			list = append(list, strconv.Itoa(int(t.VLAN())))
		}
	}
	return strings.Join(list, ", ")
}

const provider = 0x88a8 << 16 // of 802.1ad, in a [packet.Tag]

// parseTag reads the number of a VLAN, or of one by 802.1ad.
func parseTag(s string) (packet.Tag, error) {
	digits, outer := strings.CutPrefix(s, "802.1ad:")
	vlan, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || vlan < 1 || vlan > 4094 {
		return 0, errors.New(strconv.Quote(s) + " is no VLAN tag; want a number from 1 to 4094, or one as in 802.1ad:100")
	}
	if outer {
		return provider | packet.Tag(vlan), nil
	}
	return packet.NewTag(uint16(vlan)), nil
}
