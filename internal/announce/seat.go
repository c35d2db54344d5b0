package announce

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
)

// seats is how many balancers may hold addresses in one network namespace.
const seats = 16

// seat is this process's number among those that hold addresses in its network namespace. It
// has the number as long as it lives, by the name of a socket of the namespace's
// (unix(7), abstract), that the kernel gives up at whatever end of the process.
type seat struct {
	number int
	socket net.Listener
}

// take takes the first seat that is free, and calls vacant for each that is, since what is
// marked by that number is nobody's.
func take(vacant func(number int) error) (s seat, err error) {
	s.number = -1
	for n := range seats {
		socket, err := net.Listen("unix", seatName(n))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil {
			err = vacant(n)
		}
		switch {
		case err != nil:
			if socket != nil {
				socket.Close()
			}
			s.leave()
			return s, fmt.Errorf("look for what a balancer before has left: %w", err)
		case s.number < 0:
			s = seat{n, socket}
		default:
			socket.Close()
		}
	}
	if s.number < 0 {
		return s, fmt.Errorf("%d balancers hold addresses here already", seats)
	}
	return s, nil
}

// seatName is that of the socket of a seat.
func seatName(number int) string { return fmt.Sprintf("@afxlb-announce-%d", number) }

// Left is an address that a process has left on an interface which did not live to take it away.
type Left struct {
	Address netip.Addr
	Device  string
}

// LookForLeft returns those of the calling thread's network namespace. It changes nothing, and
// takes no seat.
func LookForLeft() (list []Left, err error) {
	own, err := addresses()
	if err != nil {
		return nil, err
	}
	const sockets = "/proc/thread-self/net/unix"
	text, err := os.ReadFile(sockets)
	if err != nil {
		return nil, fmt.Errorf("look who holds addresses: %w", err)
	}
	taken := strings.Fields(string(text))
	for _, a := range own {
		number := int(a.mark - mark)
		if a.mark < mark || number >= seats || !a.IsSingleIP() || slices.Contains(taken, seatName(number)) {
			continue
		}
		name := fmt.Sprint(a.device)
		if i, err := net.InterfaceByIndex(a.device); err == nil {
			name = i.Name
		}
		list = append(list, Left{a.Addr(), name})
	}
	return list, nil
}

func (s *seat) leave() {
	if s.socket != nil {
		s.socket.Close()
	}
}
