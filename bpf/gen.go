package bpf

// steer_bpfel.o and steer_bpfel.go are built from steer.bpf.c and abi.h, and
// committed, so that nobody needs a C compiler to build the balancer. To rebuild
// them takes clang and llvm-strip (Debian: the packages clang and llvm) and no
// headers. Debian 12's clang 14 gives the committed object byte for byte, wherever
// the folder is; another version gives another that does the same.
//
// There is no big-endian object, and so no balancer on such machines.
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -type ip -type block -type address -type reason -type share -type range steer steer.bpf.c -- -Wall -Wextra -Werror
