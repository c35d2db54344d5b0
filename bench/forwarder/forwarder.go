// Package forwarder is a forwarder that does as little as one can: it swaps the MAC
// addresses of what arrives, and sends it back. It is built on the public API of
// github.com/asavie/xdp as that library's own examples are, and says what a balancer
// would get that is built so.
package forwarder

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/child"
)

// Name is that of the handler.
const Name = "forwarder"

// Task is what to do.
type Task struct {
	Interface string // of the child's network namespace; queue 0
	CPU       int
}

// ring is the size of all four rings, afxlb's own. The library searches its free frames
// from the first on, so that more of them would make it slower.
const ring = 2048

// Serve forwards until the process is killed. When it is ready, it tells its process id
// as its progress.
func Serve(body json.RawMessage, out *child.Out) error {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	socket, err := open(t.Interface)
	if err != nil {
		return fmt.Errorf("open an AF_XDP socket on %s by asavie/xdp: %w", t.Interface, err)
	}
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	runtime.LockOSThread()
	var cpus unix.CPUSet
	cpus.Set(t.CPU)
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return fmt.Errorf("pin the forwarder to CPU %d: %w", t.CPU, err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); err != nil { // as peer.Process.Favour
		return fmt.Errorf("favour the forwarder: %w", err)
	}
	out.Progress(strconv.Itoa(os.Getpid()))
	return forward(socket)
}

func open(name string) (*xdp.Socket, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	program, err := xdp.NewProgram(1)
	if err != nil {
		return nil, err
	}
	if err := program.Attach(link.Index); err != nil {
		return nil, err
	}
	socket, err := xdp.NewSocket(link.Index, 0, &xdp.SocketOptions{
		NumFrames: 2 * ring, FrameSize: 2048,
		FillRingNumDescs: ring, CompletionRingNumDescs: ring, RxRingNumDescs: ring, TxRingNumDescs: ring,
	})
	if err != nil {
		return nil, err
	}
	return socket, program.Register(0, socket.FD())
}

// forward is the loop of the library's documentation.
func forward(socket *xdp.Socket) error {
	for {
		if n := socket.NumFreeFillSlots(); n > 0 {
			socket.Fill(socket.GetDescs(n))
		}
		received, _, err := socket.Poll(-1)
		if err != nil {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if received == 0 {
			continue
		}
		descs := socket.Receive(received)
		for _, d := range descs {
			frame := socket.GetFrame(d)
			var src [6]byte
			copy(src[:], frame[6:])
			copy(frame[6:], frame[:6])
			copy(frame, src[:])
		}
		socket.Transmit(descs)
	}
}
