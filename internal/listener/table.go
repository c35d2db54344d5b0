package listener

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/balancer"
)

// Listener is a socket that anybody may send to: one of TCP that listens, or one of UDP
// that is connected to nobody.
type Listener struct {
	Protocol balancer.Protocol
	At       netip.AddrPort // unspecified: every address; of IPv6, it may be every IPv4 one too
	inode    uint64
}

// folder has the tables of the calling thread's network namespace.
const folder = "/proc/thread-self/net/"

// tables are those of the kernel, and the state (include/net/tcp_states.h) of the sockets
// in them that are listeners. TCP's come before all others (tcp_get_idx in
// net/ipv4/tcp_ipv4.c), so that a million connections need not be read.
var tables = []struct {
	file     string
	protocol balancer.Protocol
	state    string
	first    bool
}{
	{"tcp", balancer.TCP, "0A", true}, {"tcp6", balancer.TCP, "0A", true},
	{"udp", balancer.UDP, "07", false}, {"udp6", balancer.UDP, "07", false},
}

// All returns all listeners in the calling thread's network namespace.
func All() (list []Listener, err error) {
	for _, t := range tables {
		f, err := os.Open(folder + t.file)
		if os.IsNotExist(err) && strings.HasSuffix(t.file, "6") { // no IPv6 here
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read what listens: %w", err)
		}
		list, err = read(list, f, t.protocol, t.state, t.first)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read what listens in %s%s: %w", folder, t.file, err)
		}
	}
	return list, nil
}

// read appends the sockets of a table that are in the state, up to the first that is not
// if they come first.
func read(list []Listener, r io.Reader, p balancer.Protocol, state string, first bool) ([]Listener, error) {
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		const local, st, inode = 1, 3, 9
		field := strings.Fields(lines.Text())
		if len(field) <= inode {
			return nil, fmt.Errorf("%q is no socket", lines.Text())
		}
		if field[st] != state {
			if first {
				break
			}
			continue
		}
		at, err := parseEnd(field[local])
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(field[inode], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no inode: %w", field[inode], err)
		}
		list = append(list, Listener{p, at, n})
	}
	return list, lines.Err()
}

// parseEnd reads an address and port: 0100007F:0050 is 127.0.0.1:80, as words of the
// machine's byte order.
func parseEnd(s string) (netip.AddrPort, error) {
	words, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(words)
	if !ok || err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no port: %w", s, err)
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}
