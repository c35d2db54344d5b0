package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/pcapfilter"
	"github.com/afxlb/afxlb/internal/tap"
)

func newCapture(e *env) *cobra.Command {
	var f api.CaptureFilter
	var file, client, socket string
	var reasons []string
	var lasts time.Duration
	c := &cobra.Command{
		Use:   "capture [flags] [FILTER]",
		Short: "Capture packets that a running balancer has, as they came and as they left",
		Long: `capture writes the packets that the balancer handles as pcapng, which tcpdump and Wireshark
read: each as it came and, if it left, as it left, with what became of it for a comment.
tcpdump itself sees nothing of them, since XDP takes them before it.

FILTER is a part of pcap-filter(7): host, net, port, portrange with src and dst; tcp, udp,
icmp, icmp6, ip, ip6; vlan; less, greater; tcp[tcpflags]; and, or, not. It looks behind VLAN
tags by itself. A packet is wanted if it is such as it came, or as it left.

A reader that is too slow loses copies, and nobody a packet: how many is told in the end. It
ends with Ctrl-C, and is for root and the group of the control socket, since packets have
what users send.

Exit code 0: all is there that was asked for, or it was interrupted; 3: the balancer's memory
limit leaves no room for it; 4: the balancer has ended before.`,
		Example: `  afxlb capture -w web.pcapng --service web --time 2s
  afxlb capture --client 198.51.100.7 --time 2s | tcpdump -nr -
  afxlb capture --verdict dropped --count 100 --time 2s -w drops.pcapng
  afxlb capture --time 2s 'tcp port 80 and tcp[tcpflags] & tcp-rst != 0' | wireshark -k -i -`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if f.Filter = strings.Join(args, " "); f.Filter != "" {
				if _, err := pcapfilter.Compile(f.Filter); err != nil {
					return usageError{err}
				}
			}
			f.Verdict = append(f.Verdict, reasons...)
			if _, err := tap.Verdicts(f.Verdict); err != nil {
				return usageError{err}
			}
			if f.Address = f.Address + client; client != "" && f.Address != client {
				return usageError{errors.New("--address and --client are the same: want one of them")}
			}
			if _, err := netip.ParseAddr(f.Address); f.Address != "" && err != nil {
				return usageError{fmt.Errorf("%q: want an IP address", f.Address)}
			}
			if lasts < 0 || f.Rate < 0 || f.Snaplen < 0 || f.Sample < 0 {
				return usageError{errors.New("want numbers and times from 0 up")}
			}
			if lasts > 0 {
				f.Time = lasts.String()
			}
			if file == "-" && isTerminal(e.stdout) {
				return usageError{errors.New("a terminal shows no packets: name a file by -w, or pipe them into tcpdump -nr -")}
			}
			return runCapture(c, e, api.NewClient(socket), &f, file)
		},
	}
	addSocketFlag(c, &socket)
	n := c.Flags()
	n.StringVarP(&file, "write", "w", "-", "file to write; -: standard output")
	n.StringVar(&f.Service, "service", "", "only packets of this service")
	n.StringVar(&f.Backend, "backend", "", "only packets of this backend")
	n.StringVar(&f.Address, "address", "", "only packets from or to this address")
	n.StringVar(&client, "client", "", "the same as --address")
	n.StringSliceVar(&f.Verdict, "verdict", nil, "only packets that ended so: forwarded, replied, punted, dropped")
	n.StringSliceVar(&reasons, "reason", nil, "only packets that were dropped for these reasons, as counters has them")
	n.Uint64VarP(&f.Count, "count", "c", 0, "end after so many packets")
	n.DurationVar(&lasts, "time", 0, "end after this time")
	n.IntVar(&f.Rate, "rate", 0, "packets a second at most")
	n.IntVarP(&f.Snaplen, "snaplen", "s", 0, "bytes of each packet at most; 0: all")
	n.IntVar(&f.Sample, "sample", 0, "look at one packet in so many")
	return c
}

// runCapture writes a capture to a file, and says in the end what there is.
func runCapture(c *cobra.Command, e *env, a *api.Client, f *api.CaptureFilter, file string) (err error) {
	began := time.Now()
	in, err := a.Capture(c.Context(), f) // before the file: a refusal leaves what was there
	if err != nil {
		return err
	}
	defer in.Close()
	out, whole := e.stdout, func(int64) error { return nil }
	if file != "-" {
		to, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // it has what users send
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, to.Close()) }()
		out, whole = to, to.Truncate
	}
	sum, err := capture.Relay(out, in)
	packets := tap.Packets(&sum)
	fmt.Fprintf(e.stderr, "%d packets captured", packets)
	if sum.Dropped > 0 {
		fmt.Fprintf(e.stderr, "; of %d more there is no copy, as they were not read in time (--sample, --rate and --snaplen make it less)", sum.Dropped)
	}
	fmt.Fprintln(e.stderr)
	switch {
	case c.Context().Err() != nil, errors.Is(err, unix.EPIPE): // interrupted, or nobody reads on: that is how it ends
		return nil
	case err != nil:
		if cut := whole(sum.Bytes); cut != nil {
			return fmt.Errorf("the capture ended early, and its last block may be cut: %w", err)
		}
		return fmt.Errorf("the capture ended early; what is written is whole: %w", err)
	case f.Count == packets && packets != 0, f.Time != "" && time.Since(began) >= mustDuration(f.Time):
		return nil
	}
	return fmt.Errorf("the balancer has ended the capture, before all was there: %w", errPartly)
}

func mustDuration(s string) time.Duration {
	d, _ := time.ParseDuration(s) // it comes from one
	return d
}
