// Package vmlab runs this project on kernels and NIC drivers that the machine does not
// have: in virtual machines, for `make test-vm`.
//
//	Cache            kernels and QEMU of the distribution, fetched by an apt of its own
//	  │
//	Kernel, Image    an initramfs: cmd ./guest as init, the modules, the binaries to run
//	  │
//	Guest            QEMU with NICs on TAPs of a [lab.Lab]'s switch; it runs what it is
//	                 told through a virtio port (package agent)
//
// Only the balancer is in the guest. Clients and backends are namespaces of the machine,
// which makes an emulated lab some twenty times as fast. The tests that boot guests have
// the build tag vm.
package vmlab
