package report

import (
	"net/netip"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

// probed returns what the backends of service i of a View were asked, in its order.
func (s *Source) probed(i int, svc *control.ServiceView) []control.Probed {
	if s.Probed == nil {
		return nil
	}
	return s.Probed(i, svc.Spec.Key())
}

// checks tells of probes, and keeps the times in them.
func checks(probes []control.Probe) []api.Check {
	list := make([]api.Check, len(probes))
	for i := range probes {
		list[i] = check(&probes[i])
	}
	return list
}

func check(p *control.Probe) api.Check {
	out := api.Check{
		Type: p.Type.String(), Address: p.Address.String(), Result: "ok", Took: p.Took, At: moment(&p.Start), Next: moment(&p.Next),
	}
	if p.Address.Port() == 0 {
		out.Address = p.Address.Addr().String()
	}
	if p.Source != (netip.Addr{}) {
		out.Source = p.Source.String()
	}
	switch {
	case p.Start.IsZero():
		out.Result = "none"
	case p.Local:
		out.Result = "local"
	case p.Err != nil:
		out.Result = "failed"
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	return out
}

// moment returns nil for no time.
func moment(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}
