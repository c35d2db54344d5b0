package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/vmlab/agent"
)

// NIC is a network card of a guest.
type NIC struct {
	Device string // QEMU's name and properties, such as "igb" or "virtio-net-pci,mq=on"
	Tap    string // the machine's end, an interface of the host that the guest is started on
	Queues int    // of the TAP; one when zero
	MAC    string
}

// Options of a guest.
type Options struct {
	Kernel *Kernel
	Image  Image
	NICs   []NIC
	Memory int    // MB
	Init   string // the binary of ./guest
	Dir    string // for the guest's files
}

// Guest is a running virtual machine. It ends when it is closed, and when the host it
// was started on or this process does.
type Guest struct {
	*agent.Client
	qemu    *exec.Cmd
	ended   chan struct{}
	console string // file
	monitor *monitor
}

// bootTime bounds a start. It takes some ten seconds where nothing else runs.
const bootTime = 3 * time.Minute

// features of the emulated CPU that only make emulation slow: string operations are done
// byte by byte, and each walk of page tables takes a fifth step.
const cpu = "max,-erms,-fsrm,-fzrm,-fsrs,-fsrc,-la57"

// commandLine of the kernel: a panic ends the guest, and what measures time does not look
// whether it is right, since on a busy machine it is not always.
const commandLine = "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off tsc=reliable no_timer_check"

// Start boots a guest on a host of a lab and waits until it does what it is told.
func (c *Cache) Start(ctx context.Context, on *lab.Host, o Options) (g *Guest, err error) {
	tools, err := c.tools()
	if err != nil {
		return nil, err
	}
	initrd := filepath.Join(o.Dir, "initrd")
	if err := o.Image.write(initrd, o.Kernel, tools, o.Init); err != nil {
		return nil, fmt.Errorf("make the guest's initramfs: %w", err)
	}
	g = &Guest{ended: make(chan struct{}), console: filepath.Join(o.Dir, "console")}
	qmp := filepath.Join(o.Dir, "qmp")
	// Not ahead of what people do on the machine.
	g.qemu = exec.Command("nice", append([]string{"-n", "5"}, o.qemu(tools, initrd, g.console, qmp)...)...)
	g.qemu.Env = append(os.Environ(), libraries(tools), "QEMU_MODULE_DIR="+filepath.Join(tools, "usr/lib/x86_64-linux-gnu/qemu"))
	var complaint strings.Builder
	g.qemu.Stderr = &complaint
	in, err := g.qemu.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, inside := io.Pipe() // unlike StdoutPipe it is not closed by Wait before all is read
	g.qemu.Stdout = inside
	if err := on.Start(g.qemu); err != nil {
		return nil, err
	}
	go func() {
		defer close(g.ended)
		_ = g.qemu.Wait() // what it was shows in the console and the complaint
		inside.Close()
	}()
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("boot %s: %w: %s", o.Kernel.Release, err, complaint.String()), g.Close())
			err = fmt.Errorf("%w\n%s", err, g.Console())
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, bootTime, fmt.Errorf("it is not there after %v", bootTime))
	defer cancel()
	if g.Client, err = agent.Dial(ctx, out, in); err != nil {
		return g, err
	}
	g.monitor, err = dialMonitor(qmp)
	return g, err
}

// qemu returns the emulator's command line.
func (o Options) qemu(tools, initrd, console, qmp string) []string {
	args := []string{filepath.Join(tools, "usr/bin/qemu-system-x86_64"),
		"-L", filepath.Join(tools, "usr/share/qemu"), "-L", filepath.Join(tools, "usr/share/seabios"),
		"-L", filepath.Join(tools, "usr/lib/ipxe/qemu"),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", cpu, "-smp", "2", "-m", fmt.Sprint(o.Memory),
		"-kernel", o.Kernel.Image, "-initrd", initrd,
		"-append", commandLine,
		"-serial", "file:" + console,
		"-qmp", "unix:" + qmp + ",server=on,wait=off",
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=agent,signal=off", "-device", "virtserialport,chardev=agent",
	}
	for i, n := range o.NICs {
		netdev := fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, n.Tap)
		if n.Queues > 1 {
			netdev += fmt.Sprint(",queues=", n.Queues)
		}
		// A root port of its own: igb does not start on the root bus.
		port := fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d,slot=%d", i, i+1, i+1)
		device := fmt.Sprintf("%s,id=nic%d,bus=port%d,netdev=net%d,mac=%s", n.Device, i, i, i, n.MAC)
		args = append(args, "-netdev", netdev, "-device", port, "-device", device)
	}
	return args
}

// SetCable plugs the cable of a NIC, by its number, in or out.
func (g *Guest) SetCable(nic int, in bool) error {
	return g.monitor.do("set_link", map[string]any{"name": fmt.Sprint("nic", nic), "up": in})
}

// Console returns what the kernel has said.
func (g *Guest) Console() string {
	text, err := os.ReadFile(g.console)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Close switches the guest off.
func (g *Guest) Close() error {
	if g.monitor != nil {
		g.monitor.close()
	}
	err := g.qemu.Process.Kill()
	<-g.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
