// Package vm runs a BPF program in user space, as an object file has it: without the
// kernel, privileges or a verifier. What decides about packets in the kernel can so
// decide about those of a file, and there is no second version of it to go astray.
//
// It knows the instructions of a clang without atomics, calls between functions, hash and
// array maps, and the few helpers that the steering program calls; anything else is an
// error of [New]. A program that reads or writes where it may not ends with an error, and
// so does one that does not end (RFC 9669; kernel/bpf/core.c).
package vm
