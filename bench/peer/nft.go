package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// DNAT is the kernel's own way: a ruleset of nftables and the forwarding of packets.
type DNAT struct {
	Program  string // the path of nft
	Services []Service
	Hash     bool // choose by a hash of the client's address and port instead of by turns
}

// ruleset is a DNAT that is loaded.
type ruleset struct {
	host    *lab.Host
	program string
}

// forwarding is what a router needs.
var forwarding = []setting{
	{"net/ipv4/ip_forward", "1"},
	{"net/ipv6/conf/all/forwarding", "1"},
	// With one arm, each packet leaves by the interface it came by: the kernel would
	// think about telling the sender of a shorter way.
	{"net/ipv4/conf/all/send_redirects", "0"},
	{"net/ipv4/conf/" + lab.Interface + "/send_redirects", "0"},
}

// tracking needs the ruleset: the settings are not there before.
var tracking = []setting{
	// Closed connections make room soon: the table's size is the machine's, and 120 s
	// of new connections would fill it.
	{"net/netfilter/nf_conntrack_tcp_timeout_time_wait", "2"},
	// No checksum of a packet is looked at just to pass it on; nor does afxlb.
	{"net/netfilter/nf_conntrack_checksum", "0"},
}

// Config returns the ruleset. A packet of a known connection does not come to the
// rules: the kernel's table of connections remembers where it goes. There is no
// flowtable in it, since kernels may lack that.
func (d DNAT) Config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n\tchain services {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n", table)
	for _, s := range d.Services {
		choice := "numgen inc"
		if d.Hash {
			choice = fmt.Sprintf("jhash %s saddr . %s sport", s.family(), s.Protocol)
		}
		fmt.Fprintf(&b, "\t\t%s daddr %s %s dport %d dnat %[1]s to %[5]s mod %d map { ", s.family(), s.Address.Addr(), s.Protocol, s.Address.Port(), choice, len(s.Backends))
		for i, to := range s.Backends {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%d : %s . %d", i, to.Addr(), to.Port())
		}
		b.WriteString(" }\n")
	}
	b.WriteString("\t}\n" + quiet + "}\n")
	return b.String()
}

const table = "afxlb_bench"

// quiet is what send_redirects is for IPv4, which has no such setting for IPv6. The
// client would follow, to a backend that does not know the service's address. Packets
// that are forwarded don't come here.
const quiet = `	chain quiet {
		type filter hook output priority filter; policy accept;
		icmpv6 type nd-redirect drop
	}
`

// Start loads the ruleset and switches forwarding on.
func (d DNAT) Start(ctx context.Context, h *lab.Host) (Running, error) {
	r := &ruleset{h, d.Program}
	if err := set(h, forwarding); err != nil {
		return nil, err
	}
	if err := r.nft(ctx, d.Config(), "-f", "-"); err != nil {
		return nil, err
	}
	if err := set(h, tracking); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// CPU returns zero: the kernel's interrupts do all of it.
func (*ruleset) CPU() (time.Duration, error) { return 0, nil }

// Stop removes the ruleset and switches forwarding off.
func (r *ruleset) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return errors.Join(
		r.nft(ctx, "", "delete", "table", "inet", table),
		set(r.host, []setting{{"net/ipv4/ip_forward", "0"}, {"net/ipv6/conf/all/forwarding", "0"}}),
	)
}

// nft runs nft to its end.
func (r *ruleset) nft(ctx context.Context, stdin string, args ...string) error {
	c := exec.CommandContext(ctx, r.program, args...)
	var out bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &out
	err := r.host.Start(c)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		return fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}
