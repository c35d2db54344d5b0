//go:build vm

package main

import (
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// TestKernelTunnels is TestFieldTunnels with the kernel's own tunnels as the far end. It runs in
// a guest of internal/vmlab, whose kernel has them.
func TestKernelTunnels(t *testing.T) {
	testTunnels(t, func(i int, h *lab.Host) error { return h.DecapsulateInKernel(lab.BackendAddr(i), lab.BackendAddr6(i)) })
}
