package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -type ip -type block -type address -type reason steer steer.bpf.c -- -Wall -Wextra -Werror
