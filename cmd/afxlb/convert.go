package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/convert"
)

func newConvert(e *env) *cobra.Command {
	var from, address, source, out string
	o := convert.Options{Getenv: os.LookupEnv, Read: config.Read, Glob: filepath.Glob}
	c := &cobra.Command{
		Use:   "convert FILE",
		Short: "Make a config of keepalived.conf, haproxy.cfg or ipvsadm-save",
		Long: `convert reads the configuration of keepalived, HAProxy (mode tcp) or IPVS, and prints one
of afxlb. What has no equivalent becomes a comment, with its line in the old file and what
to do instead; those that matter begin with LEFT OUT. What is printed passes check.

FILE is keepalived.conf, with the files that it includes; haproxy.cfg; what ipvsadm-save -n
prints; or - for the standard input. Which it is, is guessed from its content.

Exit code 0: all is converted; 1: FILE cannot be read or parsed; 2: parsed, but wrong, or
not one of these; 4: something was left out.`,
		Example: `  afxlb convert /etc/keepalived/keepalived.conf > afxlb.yaml
  afxlb convert --address 192.0.2.10 --source 10.0.0.5 /etc/haproxy/haproxy.cfg > afxlb.yaml
  ipvsadm-save -n | afxlb convert --from ipvsadm - > afxlb.yaml`,
		Args: exactArgs("FILE"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if from != "" {
				if o.From, err = convert.ParseFormat(from); err != nil {
					return usageError{fmt.Errorf("--from: %w", err)}
				}
			}
			for _, a := range []struct {
				flag, text string
				dst        *netip.Addr
			}{{"address", address, &o.Address}, {"source", source, &o.Source}} {
				if a.text == "" {
					continue
				}
				if *a.dst, err = netip.ParseAddr(a.text); err != nil || a.dst.Zone() != "" {
					return usageError{fmt.Errorf("--%s %q: want an IP address", a.flag, a.text)}
				}
			}
			return runConvert(c.Context(), e, args[0], out, o)
		},
	}
	c.Flags().StringVar(&from, "from", "", "what FILE is: keepalived, haproxy or ipvsadm (default: guessed)")
	c.Flags().StringVarP(&out, "output", "o", "-", "file to write; - is the standard output")
	c.Flags().StringVar(&o.ConfigID, "config-id", "", "keepalived: the config id of the machine, for lines that begin with @")
	c.Flags().StringVar(&address, "address", "", "haproxy: the address that bind * stands for")
	c.Flags().StringVar(&source, "source", "", "haproxy: this machine's address towards the backends, for mode fullnat")
	return c
}

func runConvert(ctx context.Context, e *env, file, out string, o convert.Options) error {
	read := func() ([]byte, error) { return config.Read(file) }
	if file == "-" {
		file = "stdin" // for messages
		read = func() ([]byte, error) { return config.ReadFrom(e.stdin, file) }
	}
	data, err := interruptible(ctx, read)
	if err != nil {
		return err
	}
	result, err := convert.Convert(file, data, o)
	if err != nil {
		fmt.Fprintln(e.stderr, err)
		return fmt.Errorf("%w: %w", errSaid, err)
	}
	if out == "-" {
		_, err = e.stdout.Write(result.YAML)
	} else {
		err = os.WriteFile(out, result.YAML, 0o644)
	}
	if err != nil {
		return err
	}
	if result.LeftOut > 0 {
		fmt.Fprintf(e.stderr, "afxlb: %s (%s): %d things have no equivalent; what is written has a comment for each: LEFT OUT\n", file, result.From, result.LeftOut)
		return fmt.Errorf("%w: %w", errSaid, errPartly)
	}
	return nil
}

// interruptible reads until ctx ends: nothing ends a read of a terminal or a pipe, which stays
// behind for the little that is left of the process.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, errors.New("interrupted before all was read")
	}
}
