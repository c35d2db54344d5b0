package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/announce"
)

// leftovers says what a balancer has left that does not run any more. What one has by its
// descriptors is gone with it, however it ended; what is here all the same is somebody's.
func leftovers(f *Facts, r *found) {
	l := &f.Left
	if f.Running == nil {
		for _, name := range l.Devices {
			r.warn("there is a device "+name+", and no balancer that answers", "one runs by another socket, or stands still, or left it",
				"pgrep -a afxlb, and if there is none: ip link delete "+name)
		}
		for _, p := range f.Programs {
			if p.Steers {
				r.add(p.Interface, Warning, "a steering program is attached, and no balancer answers", "one runs by another socket, or stands still: another can't serve the interface",
					"pgrep -a afxlb; afxlb doctor --socket PATH asks it")
			}
		}
	}
	for _, a := range l.Addresses {
		r.add(a.Device, Warning, fmt.Sprintf("%v is still here, which a balancer that was killed has announced", a.Address),
			"the kernel answers with resets for what comes to it; the next start takes it away, or it goes by itself within a minute",
			fmt.Sprintf("start the balancer, or ip address del %v dev %s", netip.PrefixFrom(a.Address, a.Address.BitLen()), a.Device))
	}
	if l.Socket != "" {
		r.warn("nobody answers at "+l.Socket, "a balancer was killed; the next start takes the socket over", "rm "+l.Socket+", if none is to be started")
	}
	if l.State != "" && f.Running == nil {
		r.warn("there is "+l.State+", which was not finished", "a balancer was killed while it wrote; the state file itself is whole", "rm "+l.State)
	}
	if len(r.findings) == 0 {
		r.saw("no device, program, socket or file of a balancer that is gone")
	}
}

// ownDevices are the beginnings of the names of devices that a balancer makes.
var ownDevices = []string{"afxlb"}

// lookForLeftovers looks for what may have been left, by a balancer with that socket and state
// file; "none": it keeps none.
func lookForLeftovers(socket, state string) (l Leftovers, err error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return l, err
	}
	for _, link := range links {
		for _, begins := range ownDevices {
			if name := link.Attrs().Name; strings.HasPrefix(name, begins) {
				l.Devices = append(l.Devices, name)
			}
		}
	}
	if l.Addresses, err = announce.LookForLeft(); err != nil {
		return l, err
	}
	if info, err := os.Stat(socket); err == nil && info.Mode()&fs.ModeSocket != 0 && deaf(socket) {
		l.Socket = socket
	}
	if next := state + ".new"; state != "none" && state != "" {
		if _, err := os.Stat(next); err == nil {
			l.State = next
		}
	}
	return l, nil
}

// deaf reports whether nobody listens at a socket.
func deaf(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
