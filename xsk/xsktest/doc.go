// Package xsktest plays the kernel's part of an AF_XDP socket in plain memory. The
// socket's code, hot path included, is that of a real one, so that what runs on top of
// package xsk can be tested and measured without root, interfaces or luck.
//
// A [Kernel] behaves like the kernel's copy mode on a healthy link: it puts a packet
// 256 bytes into its frame, takes the TX ring when told to, and completes at once. It
// can be an older kernel or a zero-copy driver, too; see [Linux].
// Everything that can go wrong can be asked for: full rings, a receiver that holds on
// to packets, a link that is down, an interface that is removed, an answer of any
// errno. It checks what it is given, and [Kernel.Err] tells of the first descriptor
// that a real kernel would have refused.
package xsktest
