package main

import (
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// cable sends frames of a test's own making from a host's interface, whatever their
// addresses say.
type cable struct {
	t  *testing.T
	by *lab.Injector
	to packet.MAC // the balancer's
}

func (w *world) openCable(h *lab.Host) *cable {
	w.t.Helper()
	by, err := h.Injector(lab.Interface)
	if err != nil {
		w.t.Fatal(err)
	}
	return &cable{t: w.t, by: by, to: packet.MAC(w.interfaceOf(w.lab.Balancer).HardwareAddr)}
}

// send sends frames to the balancer.
func (c *cable) send(frames ...packettest.Frame) {
	c.t.Helper()
	for _, f := range frames {
		c.sendTo(c.to, f)
	}
}

// sendTo sends a frame to a MAC address.
func (c *cable) sendTo(mac packet.MAC, f packettest.Frame) {
	c.t.Helper()
	f.SrcMAC, f.DstMAC = packet.MAC(c.by.MAC), mac
	if err := c.by.Inject(f.Bytes()); err != nil {
		c.t.Fatal(err)
	}
}
