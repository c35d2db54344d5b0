package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/daemon"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/replay"
)

func newReplay(e *env) *cobra.Command {
	var r replayFlags
	c := &cobra.Command{
		Use:   "replay --config FILE IN [OUT]",
		Short: "Run the packets of a capture through the balancer, without a network",
		Long: `replay has each packet of a capture file decided by the very code that a running balancer
has: the steering program, the flow table and the workers' pass. It needs no root, no
interface and no kernel, and gives the same result each time.

IN is a pcap or pcapng file of Ethernet frames, gzipped or not, - for the standard input.
What the balancer would have sent is written to OUT, as pcapng if it ends in .pcapng,
gzipped if it ends in .gz. Of packets that the capture has only the beginning of, OUT has
only the beginning.

Time is that of the capture. All backends are up until the flags below say otherwise; a
backend is SERVICE/BACKEND, or a name or address for all that have it, and a time is since
the first packet (10 or 1.5s) or as in 2026-01-02T15:04:05Z; without @TIME it is the beginning.
Next hops are those of the config's neighbours; for a backend that is not there a MAC
address is made up, 02:00 and the last four bytes of its address, and that is said.

There are no sockets of the machine's own, nor addresses but those of --address, all packets come by one queue, and
what would be given back to the kernel is taken as if that passed it on.`,
		Example: `  afxlb replay --config afxlb.yaml in.pcap out.pcap
  afxlb replay --config afxlb.yaml --json in.pcapng.gz | jq 'select(.verdict == "dropped")'
  afxlb replay --config afxlb.yaml --backend-down web/a@1.5s --backend-up web/a@10s in.pcap out.pcap`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return usageError{fmt.Errorf("%s wants IN and, if you like, OUT; got %d arguments (see %[1]s --help)", c.CommandPath(), len(args))}
		},
		RunE: func(c *cobra.Command, args []string) error { return r.run(c.Context(), e, args) },
	}
	f := c.Flags()
	f.StringVarP(&r.config, "config", "c", "/etc/afxlb/afxlb.yaml", "config file")
	f.BoolVar(&r.json, "json", false, "print a line of JSON for each packet, and no summary")
	f.StringSliceVar(&r.macs, "mac", nil, "MAC addresses of the interface; frames for others are then not the balancer's")
	f.StringSliceVar(&r.addresses, "address", nil, "the machine's own addresses: tunnels come from them, and what backends send there is the kernel's")
	f.IntVar(&r.mtu, "mtu", 1500, "MTU of the interface; 0: no limit")
	for i, verb := range replayVerbs {
		f.StringArrayVar(&r.events[i], verb.flag, nil, verb.help)
	}
	return c
}

// replayVerbs are the flags by which things happen to backends.
var replayVerbs = [...]struct {
	flag, help string
	kind       replay.Kind
}{
	{"backend-down", "NAME[@TIME]: a backend is down from then on", replay.Down},
	{"backend-up", "NAME[@TIME]: a backend is up again, and can be reached", replay.Up},
	{"backend-unreachable", "NAME[@TIME]: no way leads to a backend", replay.Unreachable},
	{"backend-drain", "NAME[@TIME]: a backend gets no new flows", replay.Drain},
	{"backend-weight", "NAME=WEIGHT[@TIME]: a backend has another weight", replay.Weight},
}

type replayFlags struct {
	config string
	json   bool
	macs   []string
	mtu    int

	addresses []string

	events [len(replayVerbs)][]string
}

func (r *replayFlags) run(ctx context.Context, e *env, args []string) (err error) {
	o := replay.Options{MTU: r.mtu}
	if err := r.world(&o); err != nil {
		return err
	}
	cfg, err := config.Load(r.config)
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(e.stderr, problems.Error())
		return fmt.Errorf("%w: %w", errSaid, problems)
	} else if err != nil {
		return err
	}
	o.Spec, o.Engine, o.Ports = &cfg.Spec, daemon.EngineConfig(cfg), cfg.Interfaces
	if len(o.Ports) == 0 {
		o.Ports = []string{""}
	}

	in := os.Stdin
	if args[0] != "-" {
		if in, err = os.Open(args[0]); err != nil {
			return err
		}
		defer in.Close()
	}
	if o.In, err = capture.NewReader(in); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if err := o.Check(); err != nil { // before there is a file
		return usageError{err}
	}
	if len(args) == 2 {
		if same(in, args[1]) {
			return usageError{fmt.Errorf("%s is what is read; want another file to write to", args[1])}
		}
		out, err := create(args[1])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		format := o.In.Format()
		format.NG = strings.HasSuffix(strings.TrimSuffix(args[1], ".gz"), ".pcapng")
		format.Nano = format.Nano || o.In.Format().NG
		if o.Out, err = capture.NewWriter(out, format, o.Ports...); err != nil {
			return fmt.Errorf("%s: %w", args[1], err)
		}
	}
	lines := bufio.NewWriterSize(e.stdout, 1<<16)
	if r.json {
		var line []byte
		o.Report = func(record *replay.Record) error {
			line = record.AppendJSON(line[:0])
			_, err := lines.Write(line)
			return err
		}
	}
	summary, err := replay.Run(ctx, &o)
	if err = errors.Join(err, lines.Flush()); err != nil {
		err = fmt.Errorf("%s: %w", args[0], err)
	}
	r.tell(e, &summary)
	return err
}

// world reads the flags.
func (r *replayFlags) world(o *replay.Options) error {
	for _, s := range r.macs {
		m, err := packet.ParseMAC(s)
		if err != nil {
			return usageError{fmt.Errorf("--mac: %w", err)}
		}
		o.MACs = append(o.MACs, m)
	}
	for _, s := range r.addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return usageError{fmt.Errorf("--address %q: want an IP address", s)}
		}
		o.Addresses = append(o.Addresses, a.Unmap())
	}
	if r.mtu < 0 || r.mtu > 65535 {
		return usageError{fmt.Errorf("--mtu %d: want 0 to 65535", r.mtu)}
	}
	for i, verb := range replayVerbs {
		for _, s := range r.events[i] {
			event, err := replay.ParseEvent(verb.kind, s)
			if err != nil {
				return usageError{fmt.Errorf("--%s: %w", verb.flag, err)}
			}
			o.Events = append(o.Events, event)
		}
	}
	return nil
}

// tell says what became of all packets, and what was made up.
func (r *replayFlags) tell(e *env, s *replay.Summary) {
	if len(s.Guessed) > 0 {
		fmt.Fprintf(e.stderr, "afxlb: the config has no neighbours for %v: MAC addresses are made up\n", s.Guessed)
	}
	if len(s.Sources) > 0 {
		fmt.Fprintf(e.stderr, "afxlb: where tunnels come from is made up, %v: name --address, or tunnel-source in the config\n", s.Sources)
	}
	if s.Others > 0 {
		fmt.Fprintf(e.stderr, "afxlb: %d packets are of another link type than Ethernet, and left out\n", s.Others)
	}
	if s.Cut > 0 {
		fmt.Fprintf(e.stderr, "afxlb: of %d packets the capture has only the beginning: the rest is taken for zeros\n", s.Cut)
	}
	if s.TooLong > 0 {
		fmt.Fprintf(e.stderr, "afxlb: %d packets are longer than %d bytes, which is what replay takes, and count as %v: were they merged (ethtool -K IF gro off) before they were captured?\n",
			s.TooLong, replay.MaxPacket, packet.DropTooBig)
	}
	if r.json {
		return
	}
	table(e.stdout, "VERDICT PACKETS", func(row func(...any)) {
		row("all", s.Packets)
		row(replay.VerdictPassed, s.Passed)
		for v, n := range s.Verdicts {
			if n > 0 {
				row(packet.Verdict(v), n)
			}
		}
		if s.Held > 0 {
			row(replay.VerdictHeld, s.Held)
		}
		row("sent", s.Sent)
	})
}

// same reports whether a file that is open has the name.
func same(open *os.File, name string) bool {
	a, err := open.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// create makes a file, to be gzipped if its name says so.
func create(name string) (io.WriteCloser, error) {
	f, err := os.Create(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	return &zipped{gzip.NewWriter(f), f}, nil
}

// zipped is a file that is written gzipped.
type zipped struct {
	*gzip.Writer
	file *os.File
}

// Close ends both.
func (z *zipped) Close() error { return errors.Join(z.Writer.Close(), z.file.Close()) }
