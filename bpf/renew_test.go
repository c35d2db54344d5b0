package bpf

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// A program that is renewed is another one to the kernel, attached in the same mode, and
// has what the old one had.
func TestRenew(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, testSteering())
	if err := p.Renew(); err == nil {
		t.Error("a program that is nowhere can be renewed")
	}
	if err := p.SetSocket(0, bindSocket(t, v0, 0).fd); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []AttachMode{Native, Generic} {
		if _, err := p.Attach(v0.Attrs().Index, mode); err != nil {
			t.Fatal(err)
		}
		service := frame(tcp(client4, vip4, 40000, 80))
		for range 3 {
			was := programID(t, p)
			before, err := p.Counters()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Renew(); err != nil {
				t.Fatal(err)
			}
			id, now := attached(t, "v0")
			if id != programID(t, p) || id == was || now != mode {
				t.Errorf("%s: program %d in %s mode is there, %d was", mode, id, now, was)
			}
			if action, _ := run(t, p, service); action != xdpRedirect {
				t.Errorf("%s: a service's packet: action %d", mode, action)
			}
			if action, _ := run(t, p, sendTo(otherMAC, service)); action != xdpPass {
				t.Errorf("%s: a frame for another machine: action %d", mode, action)
			}
			after, err := p.Counters()
			if err != nil || after[SteeredService] != before[SteeredService]+1 {
				t.Errorf("%s: the counters began anew: %v, then %v, %v", mode, before, after, err)
			}
		}
		// Its variables are those of before, too: frames are for another machine now.
		foreign := testSteering()
		foreign.MACs = [][6]byte{{2, 0, 0, 0, 0, 0x99}}
		if err := p.Apply(plan(t, foreign)); err != nil {
			t.Fatal(err)
		}
		if action, _ := run(t, p, service); action != xdpPass {
			t.Errorf("%s: a frame for another machine: action %d", mode, action)
		}
		if err := p.Apply(plan(t, Steering{})); err != nil {
			t.Fatal(err)
		}
		if action, _ := run(t, p, service); action != xdpPass {
			t.Errorf("%s: without services: action %d", mode, action)
		}
		if err := p.Apply(plan(t, testSteering())); err != nil {
			t.Fatal(err)
		}
		for to, want := range map[[6]byte]uint32{ownMAC: xdpRedirect, otherMAC: xdpPass} {
			if action, _ := run(t, p, sendTo(to, service)); action != want {
				t.Errorf("%s: with services again, to %x: action %d, want %d", mode, to, action, want)
			}
		}
		if err := p.Detach(); err != nil {
			t.Fatal(err)
		}
	}
}

// A program that takes packets in several buffers is attached where the MTU has a native one
// refused, and stays such a one; and it can become one where it is.
func TestTakeFrags(t *testing.T) {
	newNamespace(t)
	v0, v1 := newVeth(t)
	if err := netlink.LinkSetMTU(v1, 9000); err != nil {
		t.Fatal(err)
	}
	p := load(t, Config{}, testSteering())
	if _, err := p.Attach(v0.Attrs().Index, Native); err == nil {
		t.Fatal("this kernel takes any program for an MTU of 9000: the test shows nothing")
	}
	for range 2 {
		if err := p.TakeFrags(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Attach(v0.Attrs().Index, Native); err != nil {
			t.Fatal(err)
		}
		if err := p.Renew(); err != nil {
			t.Fatal(err)
		}
		if id, mode := attached(t, "v0"); id != programID(t, p) || mode != Native {
			t.Errorf("program %d is there in %s mode", id, mode)
		}
		if err := p.Detach(); err != nil {
			t.Fatal(err)
		}
	}

	if err := netlink.LinkSetMTU(v1, 1500); err != nil {
		t.Fatal(err)
	}
	q := load(t, Config{}, testSteering())
	if err := q.SetSocket(0, bindSocket(t, v0, 0).fd); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Attach(v0.Attrs().Index, Native); err != nil {
		t.Fatal(err)
	}
	if err := q.TakeFrags(); err != nil {
		t.Fatal(err)
	}
	if id, mode := attached(t, "v0"); id != programID(t, q) || mode != Native {
		t.Errorf("program %d is there in %s mode", id, mode)
	}
	if action, _ := run(t, q, frame(tcp(client4, vip4, 40000, 80))); action != xdpRedirect {
		t.Errorf("a service's packet: action %d", action)
	}
}
