package wire

// The object is committed and rebuilt as that of package bpf is: see gen.go there.
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -type load -type generator -type expected -type seen wire wire.bpf.c -- -Wall -Wextra -Werror
