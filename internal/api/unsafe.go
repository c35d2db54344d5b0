package api

import (
	"os"
	"syscall"
	"unsafe"
)

// soPeerGroups is SO_PEERGROUPS of include/uapi/asm-generic/socket.h, since Linux 4.13.
const soPeerGroups = 59

// peerGroups returns the supplementary groups of who connected a unix socket. The kernel
// says how many there are if there is room for fewer (sk_getsockopt of net/core/sock.c).
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups)) * uint32(unsafe.Sizeof(groups[0]))
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		n := size / uint32(unsafe.Sizeof(groups[0]))
		switch {
		case errno == syscall.ERANGE && int(n) > len(groups):
			groups = make([]uint32, n)
		case errno != 0:
			return nil, os.NewSyscallError("getsockopt SO_PEERGROUPS", errno)
		default:
			return groups[:n], nil
		}
	}
}
