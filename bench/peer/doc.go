// Package peer starts what is measured: afxlb's own daemon, and the programs of others
// that do its job, each on a host of a lab with a config of its own.
//
//	service.go    what all of them are asked to balance
//	find.go       where a program is, or which package brings it
//	process.go    a program from its start to its end
//	cpu.go        the CPU time that it has used, and the CPUs that it may use
//	memory.go     the memory that it has
//	waited.go     how long it has waited for a CPU
//	listening.go  when a server is ready
//
//	afxlb.go      the daemon
//	nft.go        the kernel's own DNAT
//	haproxy.go    HAProxy as a TCP proxy
//	nginx.go      nginx as a TCP or UDP proxy
//
// Each config is as small as it can be, and tuned as somebody would who knows that
// program and wants the figures: comments in it say what for. What applies to the host
// rather than to the program is done for all of them alike.
package peer
