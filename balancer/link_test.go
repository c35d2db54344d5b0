package balancer

import (
	"sync"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestHopWord(t *testing.T) {
	mac := packet.MAC{0x02, 0x11, 0x22, 0x33, 0x44, 0xff}
	for _, id := range []LinkID{0, 7, maxLinks - 1} {
		if w := id.Word(mac.Word()); HopLink(w) != id || packet.WordMAC(HopMAC(w)) != mac || packet.WordMAC(w) != mac {
			t.Errorf("link %d: %x", id, w)
		}
	}
}

func TestLinks(t *testing.T) {
	l := NewLinks()
	for port := range uint8(MaxPorts) {
		if id, ok := l.ID(Link{Port: port}); !ok || id != LinkID(port) {
			t.Errorf("port %d is link %d", port, id)
		}
		id, ok := l.ID(Link{Port: port, MTU: 1400})
		if !ok || id < MaxPorts || l.Origin(id.Word(7)) != LinkID(port).Word(7) || l.Origin(LinkID(port).Word(7)) != LinkID(port).Word(7) {
			t.Errorf("port %d with an MTU is link %d", port, id)
		}
	}
	tagged := Link{Tags: packet.Tags{packet.NewTag(7)}, MTU: 1400}
	id, _ := l.ID(tagged)
	if origin := l.Origin(id.Word(9)); l.At(HopLink(origin)) != tagged.plain() || HopMAC(origin) != 9 {
		t.Errorf("frames from %+v come from %+v", tagged, l.At(HopLink(origin)))
	}
	// Several at once get the same numbers, each link its own.
	link := func(n int) Link { return Link{Port: uint8(n % 3), Tags: packet.Tags{packet.NewTag(uint16(n))}} }
	const links = 1000
	ids := [4][links]LinkID{}
	var all sync.WaitGroup
	for g := range ids {
		all.Go(func() {
			for n := range links {
				id, ok := l.Seen(link(n))
				if ids[g][n] = id; !ok || l.At(id) != link(n) {
					t.Errorf("link %d: %v, %t", n, l.At(id), ok)
				}
			}
		})
	}
	all.Wait()
	for g := range ids {
		if ids[g] != ids[0] {
			t.Error("two numbers for one link")
		}
	}
}

// Strangers leave room for what the machine has, which has an end too.
func TestLinksHaveALimit(t *testing.T) {
	l := NewLinks()
	link := func(n int) Link {
		return Link{Tags: packet.Tags{packet.NewTag(uint16(n)), packet.NewTag(uint16(n >> 12))}}
	}
	count := func(add func(Link) (LinkID, bool)) (n int) {
		for i := range 2 * maxLinks {
			if _, ok := add(link(i + 1)); ok {
				n++
			}
		}
		return n
	}
	if n := count(l.Seen); n != maxStrangers-MaxPorts {
		t.Errorf("%d links of strangers", n)
	}
	if n := count(l.ID); n != maxLinks-MaxPorts {
		t.Errorf("%d links", n)
	}
	if _, ok := l.Seen(link(1)); !ok {
		t.Error("one that is known is known no more")
	}
}
