package bpf

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func programID(t testing.TB, p *Program) uint32 {
	t.Helper()
	info, err := p.objects.Steer.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return uint32(id)
}

func TestAttachDetach(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, Steering{})
	for _, c := range []struct {
		prefer []AttachMode
		want   AttachMode
	}{
		{nil, Native},
		{[]AttachMode{Native}, Native},
		{[]AttachMode{Generic}, Generic},
		{[]AttachMode{Generic, Native}, Generic},
	} {
		mode, err := p.Attach(v0.Attrs().Index, c.prefer...)
		if err != nil {
			t.Fatalf("prefer %v: %v", c.prefer, err)
		}
		if mode != c.want {
			t.Errorf("prefer %v: attached in %s mode, want %s", c.prefer, mode, c.want)
		}
		if id, mode := attached(t, "v0"); id != programID(t, p) || mode != c.want {
			t.Errorf("prefer %v: the kernel has program %d in %s mode, want %d in %s", c.prefer, id, mode, programID(t, p), c.want)
		}
		if _, err := p.Attach(v0.Attrs().Index); err == nil || errors.Is(err, ErrBusy) {
			t.Errorf("attaching an attached program: %v", err)
		}
		for range 2 { // the second does nothing
			if err := p.Detach(); err != nil {
				t.Fatal(err)
			}
		}
		if id, _ := attached(t, "v0"); id != 0 {
			t.Errorf("prefer %v: program %d is on the interface after Detach", c.prefer, id)
		}
	}
}

// TestCloseLeavesNothing: neither on the interface nor anywhere in the kernel.
func TestCloseLeavesNothing(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, testSteering())
	if _, err := p.Attach(v0.Attrs().Index); err != nil {
		t.Fatal(err)
	}
	program := ebpf.ProgramID(programID(t, p))
	var maps []ebpf.MapID
	for _, m := range []*ebpf.Map{p.objects.Addresses, p.objects.Services, p.objects.Replies, p.objects.Sockets, p.objects.Counters} {
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		maps = append(maps, id)
	}
	for range 2 { // the second does nothing
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if id, _ := attached(t, "v0"); id != 0 {
		t.Errorf("program %d is on the interface after Close", id)
	}
	if left, err := ebpf.NewProgramFromID(program); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("program %d is there after Close: %v, %v", program, left, err)
	}
	// The program's own hold on its maps ends after an RCU grace period.
	deadline := time.Now().Add(10 * time.Second)
	for _, id := range maps {
		for {
			m, err := ebpf.NewMapFromID(id)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err == nil {
				m.Close()
			}
			if time.Now().After(deadline) {
				t.Errorf("map %d is there after Close: %v, %v", id, m, err)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// TestAttachFallsBack: where native mode can't be, generic is taken; and who asks
// for native alone learns why.
func TestAttachFallsBack(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T) netlink.Link
		want string
	}{
		{"no native XDP in the driver", func(t *testing.T) netlink.Link {
			return linkByName(t, "lo")
		}, "no native XDP"},
		{"MTU", func(t *testing.T) netlink.Link {
			v0, v1 := newVeth(t)
			if err := netlink.LinkSetMTU(v1, 9000); err != nil {
				t.Fatal(err)
			}
			return v0
		}, "MTU"},
		{"queues", func(t *testing.T) netlink.Link {
			v0, _ := newVeth(t, func(v *netlink.Veth) { v.PeerNumTxQueues = 4 })
			return v0
		}, "RX queues"},
	} {
		t.Run(c.name, func(t *testing.T) {
			newNamespace(t)
			l := c.make(t)
			p := load(t, Config{}, Steering{})
			mode, err := p.Attach(l.Attrs().Index, Native)
			if err == nil || mode != "" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), l.Attrs().Name) {
				t.Errorf("native: mode %q, error %v; want one with %q and %q", mode, err, c.want, l.Attrs().Name)
			}
			if mode, err := p.Attach(l.Attrs().Index); err != nil || mode != Generic {
				t.Errorf("no preference: mode %q, error %v", mode, err)
			}
			if _, mode := attached(t, l.Attrs().Name); mode != Generic {
				t.Errorf("the kernel has it in %q mode", mode)
			}
		})
	}
}

// TestAttachBusy: one program does not take another's place, whatever mode either
// is in and however the other came there; the other goes on.
func TestAttachBusy(t *testing.T) {
	for _, first := range []AttachMode{Native, Generic, "netlink"} {
		t.Run(string(first), func(t *testing.T) {
			newNamespace(t)
			v0, _ := newVeth(t)
			holder, second := load(t, Config{}, Steering{}), load(t, Config{}, Steering{})
			if first == "netlink" {
				if err := netlink.LinkSetXdpFd(v0, holder.objects.Steer.FD()); err != nil {
					t.Fatal(err)
				}
			} else if _, err := holder.Attach(v0.Attrs().Index, first); err != nil {
				t.Fatal(err)
			}
			for _, prefer := range [][]AttachMode{nil, {Native}, {Generic}, {Generic, Native}} {
				mode, err := second.Attach(v0.Attrs().Index, prefer...)
				if !errors.Is(err, ErrBusy) || mode != "" {
					t.Errorf("prefer %v: mode %q, error %v; want ErrBusy", prefer, mode, err)
				} else if want := "another XDP program is attached to v0"; !strings.Contains(err.Error(), want) {
					t.Errorf("prefer %v: %q does not say %q", prefer, err, want)
				}
			}
			if id, _ := attached(t, "v0"); id != programID(t, holder) {
				t.Errorf("program %d is on the interface, not %d, which was there first", id, programID(t, holder))
			}
		})
	}
}

// A steering program is known by its ID, whoever has loaded it.
func TestSteers(t *testing.T) {
	newNamespace(t)
	ours := load(t, Config{}, Steering{})
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "other", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	info, err := other.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	for id, want := range map[uint32]string{programID(t, ours): "steer", uint32(id): "other"} {
		if name, yes, err := Steers(id); name != want || yes != (want == "steer") || err != nil {
			t.Errorf("%s is %q, %v: %v", want, name, yes, err)
		}
	}
	if _, yes, err := Steers(1 << 30); yes || err == nil {
		t.Errorf("no program: %v, %v", yes, err)
	}
}

func TestAttachWrong(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, Steering{})
	if _, err := p.Attach(99999); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "99999") {
		t.Errorf("no such interface: %v", err)
	}
	for _, index := range []int{0, -1} {
		if _, err := p.Attach(index); err == nil {
			t.Errorf("interface %d: no error", index)
		}
	}
	if _, err := p.Attach(v0.Attrs().Index, "offload"); err == nil || !strings.Contains(err.Error(), "offload") {
		t.Errorf("no such mode: %v", err)
	}
	if id, _ := attached(t, "v0"); id != 0 {
		t.Errorf("program %d is on the interface", id)
	}
}

// TestInterfaceGoes: the interface may go away first, and another come.
func TestInterfaceGoes(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, Steering{})
	if _, err := p.Attach(v0.Attrs().Index); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(v0); err != nil {
		t.Fatal(err)
	}
	if err := p.Detach(); err != nil {
		t.Errorf("detach from an interface that is gone: %v", err)
	}
	again, _ := newVeth(t)
	if _, err := p.Attach(again.Attrs().Index); err != nil {
		t.Errorf("attach to the one that came: %v", err)
	}
}

// Who detaches the link of another process takes the program off, and nothing tells but a
// question.
func TestAttached(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t)
	p := load(t, Config{}, Steering{})
	if err := p.Attached(); err != nil {
		t.Errorf("before: %v", err)
	}
	for range 2 {
		if _, err := p.Attach(v0.Attrs().Index); err != nil {
			t.Fatal(err)
		}
		if err := p.Attached(); err != nil {
			t.Errorf("attached: %v", err)
		}
		if err := p.link.Detach(); err != nil {
			t.Fatal(err)
		}
		if err := p.Attached(); !errors.Is(err, ErrDetached) {
			t.Errorf("taken off: %v", err)
		}
		if err := p.Detach(); err != nil {
			t.Fatal(err)
		}
	}
}
