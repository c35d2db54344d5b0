// Package tap is a capture of a running balancer: what its workers copy of packets, as a pcapng
// file that somebody reads while it comes. Each packet is in it as it came, and if it left, as
// it left; the comment says what became of it.
package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/pcapfilter"
)

const (
	// readEvery is how often the workers' copies are fetched: nobody wakes us, since that would
	// be the workers' time. Their rings have room for some MB meanwhile.
	readEvery = 20 * time.Millisecond
	// tellEvery is how often statistics are written, which are a sign of life, too.
	tellEvery = 2 * time.Second
)

// Begin begins a capture by an engine, whose ports have these names. Nothing is captured before
// the caller has it carried out, or after. The error is for who asks; see [api.Refuse].
func Begin(e *engine.Engine, names func() []string, f *api.CaptureFilter) (api.Captured, error) {
	c, err := configOf(f)
	var end time.Duration
	if err == nil && f.Time != "" {
		if end, err = time.ParseDuration(f.Time); err != nil || end <= 0 {
			err = fmt.Errorf("time %q: want a duration, as 10s", f.Time)
		}
	}
	if err != nil {
		return nil, api.Refuse(http.StatusUnprocessableEntity, err.Error())
	}
	t, err := e.Tap(c)
	if errors.Is(err, engine.ErrTapped) {
		return nil, api.Refuse(http.StatusConflict, err.Error())
	}
	if err != nil {
		return nil, err
	}
	s := &session{tap: t, names: names, left: f.Count, bounded: f.Count != 0}
	return func(ctx context.Context, to io.Writer) error {
		defer t.Close()
		if end != 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, end)
			defer cancel()
		}
		return s.run(ctx, to)
	}, nil
}

// configOf says it in the engine's words.
func configOf(f *api.CaptureFilter) (c engine.TapConfig, err error) {
	c = engine.TapConfig{Snap: f.Snaplen, Sample: f.Sample, PerSecond: f.Rate, Service: f.Service, Backend: f.Backend}
	if c.Verdicts, err = Verdicts(f.Verdict); err != nil {
		return c, err
	}
	var filter pcapfilter.Filter
	if strings.TrimSpace(f.Filter) != "" {
		if filter, err = pcapfilter.Compile(f.Filter); err != nil {
			return c, err
		}
	}
	if f.Address != "" {
		a, err := netip.ParseAddr(f.Address)
		if err != nil {
			return c, fmt.Errorf("address %q: want an IP address", f.Address)
		}
		want, inner := packet.AddrFrom(a), filter
		filter = func(p *packet.Packet, frame []byte) bool {
			return (p.Key.Src == want || p.Key.Dst == want) && (inner == nil || inner(p, frame))
		}
	}
	c.Filter = filter
	return c, nil
}

// dropped stands for all reasons for which packets are dropped.
const dropped = "dropped"

// Verdicts returns the verdicts of these names, and of [dropped] all that it stands for; none for
// none. An unknown name is an error that says what there is.
func Verdicts(names []string) (list []packet.Verdict, err error) {
	for _, name := range names {
		found := false
		for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
			if name == v.String() || name == dropped && v.IsDrop() {
				list, found = append(list, v), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no verdict %q; there are %s, and of drops the reasons %s", name, "forwarded, replied, punted, dropped", reasons())
		}
	}
	return list, nil
}

func reasons() string {
	var list []string
	for v := packet.Forwarded; v < packet.NumVerdicts; v++ {
		if v.IsDrop() {
			list = append(list, v.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
