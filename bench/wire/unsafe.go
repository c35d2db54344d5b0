package wire

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// testRun is the part of union bpf_attr that BPF_PROG_TEST_RUN reads
// (include/uapi/linux/bpf.h).
type testRun struct {
	program        uint32
	result         uint32
	sizeIn         uint32
	sizeOut        uint32
	in, out        uint64
	repeat         uint32
	duration       uint32
	contextSizeIn  uint32
	contextSizeOut uint32
	contextIn      uint64
	contextOut     uint64
	flags          uint32
	cpu            uint32
	batch          uint32
	_              uint32
}

// bpfProgTestRun and liveFrames are BPF_PROG_TEST_RUN and BPF_F_TEST_XDP_LIVE_FRAMES.
const (
	bpfProgTestRun = 10
	liveFrames     = unix.BPF_F_TEST_XDP_LIVE_FRAMES
)

// runLive has the program run on that many live frames of the given length, on the
// calling thread. EINTR, which any signal brings about, ends it early. The cilium/ebpf
// library would begin anew then, and could not be stopped.
func runLive(program, length, frames, batch int) error {
	data := make([]byte, length)
	attr := testRun{
		program: uint32(program), sizeIn: uint32(length), in: uint64(uintptr(unsafe.Pointer(&data[0]))),
		repeat: uint32(frames), batch: uint32(batch), flags: liveFrames,
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, bpfProgTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(data)
	if errno != 0 {
		return errno
	}
	return nil
}
