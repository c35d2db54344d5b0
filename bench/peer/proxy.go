package peer

import (
	"context"
	"errors"

	"github.com/afxlb/afxlb/internal/lab"
)

// proxy is a running HAProxy or nginx, and the addresses that its host has for it.
type proxy struct {
	*Process
	disown func() error
}

// startProxy starts a program that ends connections: it needs the services' addresses,
// and ports for the connections that it opens.
func startProxy(ctx context.Context, h *lab.Host, services []Service, c Command) (Running, error) {
	if err := TuneEndpoint(h); err != nil {
		return nil, err
	}
	disown, err := own(h, services)
	if err != nil {
		return nil, err
	}
	p, err := Start(ctx, h, c)
	if err != nil {
		return nil, errors.Join(err, disown())
	}
	return &proxy{p, disown}, nil
}

func (p *proxy) Stop() error { return errors.Join(p.Process.Stop(), p.disown()) }
