package demo

import (
	"context"
	"fmt"
	"os"

	"github.com/afxlb/afxlb/internal/lab"
)

// build makes the lab and its web servers.
func (d *demo) build(context.Context) (err error) {
	d.say(`
1. The lab: network namespaces with real TCP stacks, all on one switch

   client 0  %-13v --+              +-- backend a  %v  weight 1
   client 1  %-13v --+--- switch ---+-- backend b  %v  weight 2
   client 2  %-13v --+      |       +-- backend c  %v  weight 3
                                    |
                                balancer: afxlb on eth0, %d queues
                                nat  192.0.2.10  2001:db8:2::10
                                dsr  192.0.2.20  2001:db8:2::20
                                ipip 192.0.2.30  2001:db8:2::30
                                gue  192.0.2.31
                                gre  192.0.2.32

   The backends take packets out of tunnels in user space, as no kernel's tunnels are needed.

`, lab.ClientAddr(0), lab.BackendAddr(0), lab.ClientAddr(1), lab.BackendAddr(1), lab.ClientAddr(2), lab.BackendAddr(2), queues)
	if d.lab, err = lab.New(lab.Options{Clients: clients, Backends: len(backends), Queues: queues, VIPs: heldVIPs()}); err != nil {
		return err
	}
	if d.namespaces, err = namespacesOf(d.lab); err != nil {
		return err
	}
	for i, h := range d.lab.Backends {
		if err := h.Decapsulate(); err != nil {
			return err
		}
		var list []*lab.HTTPServer
		for _, port := range ports() {
			s, err := h.HTTPServer(fmt.Sprintf(":%d", port), backends[i].name)
			if err != nil {
				return err
			}
			list = append(list, s)
		}
		d.servers = append(d.servers, list)
	}
	return nil
}

// kill ends all servers of a backend at once; its kernel refuses from here on.
func (d *demo) kill(backend int) {
	for _, s := range d.servers[backend] {
		s.Kill()
	}
}

// revive starts a killed backend's servers.
func (d *demo) revive(backend int) error {
	for _, s := range d.servers[backend] {
		if err := s.Start(); err != nil {
			return err
		}
	}
	return nil
}

// namespacesOf returns the lab's namespaces as links in /proc show them.
func namespacesOf(l *lab.Lab) (list []string, err error) {
	for _, h := range append(append([]*lab.Host{l.Switch, l.Balancer}, l.Clients...), l.Backends...) {
		err := h.Do(func() error {
			id, err := os.Readlink("/proc/thread-self/ns/net")
			list = append(list, id)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("identify the namespace of %s: %w", h.Name, err)
		}
	}
	return list, nil
}
