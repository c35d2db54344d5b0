//go:build vm

package vmlab

import (
	"path/filepath"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// tunnelModules are the far ends of tunnels.
var tunnelModules = []string{"ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou"}

// TestTunnels runs a balancer and its backends in one guest: what it sends in tunnels is taken out
// by the kernel's own devices, of each kernel.
func TestTunnels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k *Kernel) {
		h, err := lab.NewHost("machine")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		file, err := testBinary("cmd/afxlb", "-tags", "vm")
		if err != nil {
			t.Fatal(err)
		}
		g := boot(t, h, Options{Kernel: k, Memory: 2048, Image: Image{
			Modules: append(append([]string{}, packageModules...), tunnelModules...),
			Files:   map[string]string{"test/" + filepath.Base(file): file},
		}})
		runTests(t, g, "cmd/afxlb", "-test.run=^TestKernelTunnels$")
	})
}
