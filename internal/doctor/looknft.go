package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
)

// maxRules is how many rules are looked at: a machine with more is not made to wait for it.
const maxRules = 100_000

// lookAtFirewall looks for rules that name a service's address as the destination. A kernel
// without nftables has none.
func lookAtFirewall(spec *balancer.Spec) (f Firewall) {
	for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
		text, _ := os.ReadFile("/proc/thread-self/net/" + name)
		for _, table := range strings.Fields(string(text)) {
			if !slices.Contains(f.Legacy, table) {
				f.Legacy = append(f.Legacy, table)
			}
		}
	}
	f.Rules, f.Err = rulesFor(spec)
	if errors.Is(f.Err, unix.EOPNOTSUPP) || errors.Is(f.Err, unix.EPROTONOSUPPORT) || errors.Is(f.Err, unix.EINVAL) || errors.Is(f.Err, unix.ENOENT) {
		f.Err = nil
	}
	return f
}

func rulesFor(spec *balancer.Spec) (list []Rule, err error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("read the rules of nftables: %w", err)
	}
	defer func() { _ = c.CloseLasting() }() // it was only read from
	tables, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list the tables of nftables: %w", err)
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list the chains of nftables: %w", err)
	}
	vips := addressesOf(spec)
	seen := 0
	for _, chain := range chains {
		if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == chain.Table.Name && t.Family == chain.Table.Family }) {
			continue // it has come since
		}
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return list, fmt.Errorf("list the rules of chain %s: %w", chain.Name, err)
		}
		if seen += len(rules); seen > maxRules {
			return list, fmt.Errorf("list the rules of nftables: there are more than %d", maxRules)
		}
		for _, rule := range rules {
			named := func(set *expr.Lookup) []nftables.SetElement { return elements(c, chain.Table, set) }
			if a := names(rule.Exprs, vips, named); a.IsValid() {
				list = append(list, Rule{family(chain.Table.Family), chain.Table.Name, chain.Name, rule.Handle, a})
			}
		}
	}
	return list, nil
}

func addressesOf(spec *balancer.Spec) (list []netip.Addr) {
	for i := range spec.Services {
		if a := spec.Services[i].Address; !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// elements are those of the set that an expression looks up.
func elements(c *nftables.Conn, t *nftables.Table, look *expr.Lookup) []nftables.SetElement {
	set, err := c.GetSetByName(t, look.SetName)
	if err != nil {
		return nil
	}
	list, err := c.GetSetElements(set)
	if err != nil {
		return nil
	}
	return list
}

func family(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyARP:
		return "arp"
	case nftables.TableFamilyBridge:
		return "bridge"
	case nftables.TableFamilyNetdev:
		return "netdev"
	}
	return fmt.Sprint("family ", f)
}

// Offsets of the destination in the network header.
const (
	destination4 = 16
	destination6 = 24
)

// names returns the first of the addresses that a rule takes for its packets' destination; none is
// the zero value. A rule that is for all addresses, or all but some, names none; nor does one for a
// network that is wider than these.
func names(exprs []expr.Any, vips []netip.Addr, elements func(*expr.Lookup) []nftables.SetElement) netip.Addr {
	at := -1 // where in the registers the destination is
	six, mask := false, []byte(nil)
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Payload:
			four, long := e.Offset == destination4 && e.Len <= 4, e.Offset == destination6 && e.Len <= 16
			if e.Base == expr.PayloadBaseNetworkHeader && e.OperationType == expr.PayloadLoad && (four || long) {
				at, mask, six = registerAt(e.DestRegister), nil, long
			} else if registerAt(e.DestRegister) == at {
				at = -1
			}
		case *expr.Meta:
			if registerAt(e.Register) == at {
				at = -1
			}
		case *expr.Bitwise:
			if at >= 0 && registerAt(e.SourceRegister) == at {
				at, mask = registerAt(e.DestRegister), e.Mask
			}
		case *expr.Cmp:
			if at < 0 || registerAt(e.Register) != at || e.Op != expr.CmpOpEq {
				continue
			}
			for _, a := range vips {
				if a.Is6() == six && covers(e.Data, mask, a.AsSlice()) {
					return a
				}
			}
		case *expr.Lookup:
			from := registerAt(e.SourceRegister) // on: a concatenation has several fields
			if at < from || e.Invert {
				continue
			}
			list := elements(e)
			for _, a := range vips {
				if a.Is6() == six && contains(list, at-from, a) {
					return a
				}
			}
		}
	}
	return netip.Addr{}
}

// registerAt is where a register begins: there are four of 16 bytes, and names for each 4 bytes of them
// (include/uapi/linux/netfilter/nf_tables.h).
func registerAt(register uint32) int {
	if register >= unix.NFT_REG32_00 {
		return int(register-unix.NFT_REG32_00) * 4
	}
	return int(register-unix.NFT_REG_1) * 16
}

// covers reports whether an address begins with data, where the mask is 1.
func covers(data, mask, address []byte) bool {
	if len(data) > len(address) {
		return false
	}
	for i := range data {
		m := byte(0xff)
		if i < len(mask) {
			m = mask[i]
		}
		if address[i]&m != data[i] {
			return false
		}
	}
	return true
}

// contains reports whether a set has an address, from a byte of its keys on: as one of its elements,
// or between one and the end of its interval.
func contains(list []nftables.SetElement, from int, a netip.Addr) bool {
	field := func(key []byte) (netip.Addr, bool) {
		end := from + a.BitLen()/8
		if len(key) < end {
			return a, false
		}
		return netip.AddrFromSlice(key[from:end])
	}
	// Of intervals there is an element where one begins and one, marked, behind its end.
	type edge struct {
		at  netip.Addr
		end bool
	}
	var edges []edge
	intervals := false
	for _, e := range list {
		at, ok := field(e.Key)
		if !ok {
			return false
		}
		if at == a && !e.IntervalEnd {
			return true
		}
		if last, ok := field(e.KeyEnd); ok && !a.Less(at) && !last.Less(a) { // of a concatenation
			return true
		}
		edges, intervals = append(edges, edge{at, e.IntervalEnd}), intervals || e.IntervalEnd
	}
	if !intervals {
		return false
	}
	slices.SortFunc(edges, func(x, y edge) int { return x.at.Compare(y.at) })
	in := false
	for _, e := range edges {
		if a.Less(e.at) {
			break
		}
		in = !e.end
	}
	return in
}
