package doctor

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// load is the destination, or another part of the header.
func load(offset, length uint32) *expr.Payload {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

// portIn loads the destination port.
func portIn(register uint32) *expr.Payload {
	return &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func equals(op expr.CmpOp, data ...byte) *expr.Cmp {
	return &expr.Cmp{Op: op, Register: 1, Data: data}
}

func TestNames(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	b := six.As16()
	in := &expr.Lookup{SourceRegister: 1, SetName: "s"}
	key := func(a string) []byte { return netip.MustParseAddr(a).AsSlice() }
	for name, c := range map[string]struct {
		exprs []expr.Any
		set   []nftables.SetElement
		want  netip.Addr
	}{
		"the address":         {[]expr.Any{load(16, 4), equals(expr.CmpOpEq, 192, 0, 2, 10)}, nil, four},
		"after others":        {[]expr.Any{load(9, 1), equals(expr.CmpOpEq, 6), load(16, 4), equals(expr.CmpOpEq, 192, 0, 2, 10), &expr.Verdict{Kind: expr.VerdictDrop}}, nil, four},
		"as the source":       {[]expr.Any{load(12, 4), equals(expr.CmpOpEq, 192, 0, 2, 10)}, nil, netip.Addr{}},
		"all but it":          {[]expr.Any{load(16, 4), equals(expr.CmpOpNeq, 192, 0, 2, 10)}, nil, netip.Addr{}},
		"another":             {[]expr.Any{load(16, 4), equals(expr.CmpOpEq, 192, 0, 2, 11)}, nil, netip.Addr{}},
		"a network of it":     {[]expr.Any{load(16, 3), equals(expr.CmpOpEq, 192, 0, 2)}, nil, four},
		"by a mask":           {[]expr.Any{load(16, 4), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{255, 255, 255, 240}, Xor: make([]byte, 4)}, equals(expr.CmpOpEq, 192, 0, 2, 0)}, nil, four},
		"by another mask":     {[]expr.Any{load(16, 4), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{255, 255, 255, 252}, Xor: make([]byte, 4)}, equals(expr.CmpOpEq, 192, 0, 2, 0)}, nil, netip.Addr{}},
		"IPv6":                {[]expr.Any{load(24, 16), equals(expr.CmpOpEq, b[:]...)}, nil, six},
		"a mark in its place": {[]expr.Any{load(16, 4), &expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, equals(expr.CmpOpEq, 192, 0, 2, 10)}, nil, netip.Addr{}},
		"register reloaded":   {[]expr.Any{load(16, 4), load(12, 4), equals(expr.CmpOpEq, 192, 0, 2, 10)}, nil, netip.Addr{}},
		"any":                 {[]expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}, nil, netip.Addr{}},
		"in a set":            {[]expr.Any{load(16, 4), in}, []nftables.SetElement{{Key: key("192.0.2.9")}, {Key: key("192.0.2.10")}}, four},
		"in no set":           {[]expr.Any{load(16, 4), in}, []nftables.SetElement{{Key: key("192.0.2.9")}}, netip.Addr{}},
		"outside of a set":    {[]expr.Any{load(16, 4), &expr.Lookup{SourceRegister: 1, Invert: true}}, []nftables.SetElement{{Key: key("192.0.2.10")}}, netip.Addr{}},
		"in an interval":      {[]expr.Any{load(16, 4), in}, []nftables.SetElement{{Key: key("192.0.2.16"), IntervalEnd: true}, {Key: key("192.0.2.0")}}, four},
		"behind one":          {[]expr.Any{load(16, 4), in}, []nftables.SetElement{{Key: key("192.0.2.10"), IntervalEnd: true}, {Key: key("192.0.2.0")}}, netip.Addr{}},
		"with its port":       {[]expr.Any{load(16, 4), portIn(9), in}, []nftables.SetElement{{Key: append(key("192.0.2.10"), 0, 80, 0, 0)}}, four},
		"behind the source":   {[]expr.Any{load(12, 4), &expr.Payload{DestRegister: 9, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}, in}, []nftables.SetElement{{Key: append(key("192.0.2.10"), key("192.0.2.9")...)}, {Key: append(key("192.0.2.9"), key("192.0.2.10")...)}}, four},
		"as the source only":  {[]expr.Any{load(12, 4), &expr.Payload{DestRegister: 9, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}, in}, []nftables.SetElement{{Key: append(key("192.0.2.10"), key("192.0.2.9")...)}}, netip.Addr{}},
		"IPv6 with its port":  {[]expr.Any{load(24, 16), portIn(2), in}, []nftables.SetElement{{Key: append(key("2001:db8::10"), 0, 80, 0, 0)}}, six},
		"ranges of both":      {[]expr.Any{load(16, 4), portIn(9), in}, []nftables.SetElement{{Key: append(key("192.0.2.8"), 0, 80, 0, 0), KeyEnd: append(key("192.0.2.15"), 0, 90, 0, 0)}}, four},
		"other ranges":        {[]expr.Any{load(16, 4), portIn(9), in}, []nftables.SetElement{{Key: append(key("192.0.2.11"), 0, 80, 0, 0), KeyEnd: append(key("192.0.2.15"), 0, 90, 0, 0)}}, netip.Addr{}},
		"a set of ports":      {[]expr.Any{load(16, 4), in}, []nftables.SetElement{{Key: []byte{0, 80}}}, netip.Addr{}},
	} {
		got := names(c.exprs, []netip.Addr{four, six}, func(*expr.Lookup) []nftables.SetElement { return c.set })
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Rules as the kernel has them.
func TestRulesOfTheKernel(t *testing.T) {
	testutil.RequireRoot(t)
	h, err := lab.NewHost("filter")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	four, six := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	v6 := six.As16()
	spec := specOf(0, four.String(), six.String())
	var f Firewall
	if err := h.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"})
		chain := c.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter})
		family := func(n byte) []expr.Any {
			return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equals(expr.CmpOpEq, n)}
		}
		set := &nftables.Set{Table: table, Name: "vips", KeyType: nftables.TypeIPAddr, Interval: true}
		if err := c.AddSet(set, []nftables.SetElement{{Key: []byte{192, 0, 2, 8}}, {Key: []byte{192, 0, 2, 16}, IntervalEnd: true}}); err != nil {
			return err
		}
		pairs := &nftables.Set{Table: table, Name: "pairs", KeyType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService), Concatenation: true}
		if err := c.AddSet(pairs, []nftables.SetElement{{Key: []byte{192, 0, 2, 10, 0, 80, 0, 0}}}); err != nil {
			return err
		}
		drop := &expr.Verdict{Kind: expr.VerdictDrop}
		for _, exprs := range [][]expr.Any{
			append(family(2), load(16, 4), equals(expr.CmpOpEq, 192, 0, 2, 10), drop),
			append(family(2), load(16, 4), equals(expr.CmpOpEq, 192, 0, 2, 99), drop),
			append(family(10), load(24, 16), equals(expr.CmpOpEq, v6[:]...), drop),
			append(family(2), load(16, 4), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}, drop),
			append(family(2), load(16, 4), portIn(9), &expr.Lookup{SourceRegister: 1, SetName: pairs.Name, SetID: pairs.ID}, drop),
			{portIn(1), equals(expr.CmpOpEq, binaryutil.BigEndian.PutUint16(80)...), drop},
		} {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
		}
		if err := c.Flush(); err != nil {
			return err
		}
		f = lookAtFirewall(spec)
		return f.Err
	}); err != nil {
		t.Fatal(err)
	}
	var got []netip.Addr
	for _, r := range f.Rules {
		got = append(got, r.Address)
		if r.Family != "inet" || r.Table != "filter" || r.Chain != "input" || r.Handle == 0 {
			t.Errorf("%+v", r)
		}
	}
	if want := []netip.Addr{four, six, four, four}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
