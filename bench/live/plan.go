package live

import (
	"fmt"
	"strings"
	"time"

	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/rig"
	"github.com/afxlb/afxlb/bench/traffic"
)

// Suite is the name under which results are filed.
const Suite = "live"

// Plan says what to measure.
type Plan struct {
	Afxlb  string // the daemon
	Rounds int
	Time   time.Duration // of a measurement
	Cases  []Case

	Progress func(format string, args ...any)
	Sample   func(result.Sample)
	Note     func(string)
}

// Case is a contender under one load.
type Case struct {
	Contender string
	Mode      string // nat, dsr; empty: it only swaps MAC addresses
	Family    traffic.Family
	Flows     int
	Queues    int
}

// The contenders.
const (
	native    = "afxlb"
	asavie    = "afxlb asavie"
	receive   = "afxlb receive"
	watched   = "afxlb watched"
	forward   = "forwarder"
	testpmd   = "testpmd"
	nft       = "nft"
	nat       = "nat"
	dsr       = "dsr"
	swap      = "swap"
	reference = 100_000 // flows of what is compared
)

// Cases returns all cases, the few of a quick run or those of a full one.
func Cases(quick bool) []Case {
	const v4, v6 = traffic.IPv4, traffic.IPv6
	if quick {
		return []Case{
			{native, nat, v4, 1000, 1}, {receive, nat, v4, 1000, 1},
			{forward, swap, v4, 1000, 1}, {testpmd, swap, v4, 1000, 1}, {nft, nat, v4, 1000, 1},
		}
	}
	return []Case{
		{native, nat, v4, 1000, 1}, {native, nat, v4, reference, 1}, {native, nat, v4, 1_000_000, 1},
		{native, nat, v6, reference, 1}, {native, dsr, v4, reference, 1}, {native, nat, v4, reference, 2},
		{watched, nat, v4, reference, 1}, {asavie, nat, v4, reference, 1}, {receive, nat, v4, reference, 1},
		{forward, swap, v4, reference, 1}, {testpmd, swap, v4, reference, 1},
		{nft, nat, v4, 1000, 1}, {nft, nat, v4, reference, 1},
	}
}

// String names the case.
func (c Case) String() string {
	s := fmt.Sprintf("%s %s %s %s", c.Contender, c.Mode, c.Family, rig.Count(c.Flows))
	if c.Queues > 1 {
		s += fmt.Sprintf(" %d queues", c.Queues)
	}
	return s
}

func (c Case) labels() map[string]string {
	return map[string]string{
		"contender": c.Contender, "mode": c.Mode, "family": string(c.Family),
		"flows": fmt.Sprint(c.Flows), "queues": fmt.Sprint(c.Queues), "driver": c.driver(),
	}
}

// driver is how the contender gets at packets.
func (c Case) driver() string {
	switch {
	case c.Contender == asavie || c.Contender == forward:
		return "asavie"
	case strings.HasPrefix(c.Contender, native):
		return "native"
	}
	return c.Contender
}

// stand names what the case is measured on: cases that share it share a process.
func (c Case) stand() string {
	s := fmt.Sprintf("%s %s", c.Contender, c.Mode)
	if c.Queues > 1 {
		s += fmt.Sprintf(" %d queues", c.Queues)
	}
	return s
}
