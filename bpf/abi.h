//go:build ignore
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only

// What steer.bpf.c needs of the kernel and of the wire, and no more, so that
// clang is the only thing that is needed to build it. The kernel's part is its
// stable user-space ABI (include/uapi/linux/bpf.h).

#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef _Bool bool;
#define true 1
#define false 0

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

// A map's definition is read from the types of a struct's members (BTF).
#define NUMBER(name, value) int (*name)[value]
#define TYPE(name, type) type *name

enum { MAP_HASH = 1, MAP_PERCPU_ARRAY = 6, MAP_LRU_HASH = 9, MAP_XSK = 17 }; // enum bpf_map_type
enum { NO_PREALLOC = 1 };                                                   // BPF_F_NO_PREALLOC
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_REDIRECT = 4 };                      // enum xdp_action

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

// What the kernel tells of a socket, as far as it is of use here. The fields before
// state are there for their size.
struct bpf_sock {
	__u32 before[18];
	__u32 state;
};

// ends are a packet's as the kernel looks sockets up by them: struct bpf_sock_tuple,
// of which the size tells the family. The source is the remote end.
struct ends4 {
	__u32 src, dst;
	__u16 sport, dport;
};

struct ends6 {
	__u32 src[4], dst[4];
	__u16 sport, dport;
};

enum { TCP_ESTABLISHED = 1, TCP_LISTEN = 10 }; // include/net/tcp_states.h

#define CURRENT_NETNS (-1) // BPF_F_CURRENT_NETNS: the interface's

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const map_delete)(void *map, const void *key) = (void *)3;
static long (*const redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;
static struct bpf_sock *(*const sk_lookup_udp)(void *ctx, void *ends, __u32 size, __u64 netns, __u64 flags) = (void *)85;
static long (*const sk_release)(struct bpf_sock *sk) = (void *)86;
static struct bpf_sock *(*const skc_lookup_tcp)(void *ctx, void *ends, __u32 size, __u64 netns, __u64 flags) = (void *)99;

// The headers. All their fields are naturally aligned within them.

struct ethernet {
	__u8 dst[6], src[6];
	__u16 type;
};

struct vlan {
	__u16 tag;
	__u16 type;
};

struct ipv4 { // RFC 791
	__u8 version_ihl, tos;
	__u16 length;
	__u16 id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 src, dst;
};

struct ipv6 { // RFC 8200
	__u32 version_class_flow;
	__u16 length;
	__u8 next, hops;
	__u32 src[4], dst[4];
};

struct extension { // RFC 8200, 4.3 to 4.6: the head of each but the fragment header
	__u8 next, length;
	__u8 data[6];
};

struct fragment { // RFC 8200, 4.5
	__u8 next, reserved;
	__u16 offset;
	__u32 id;
};

struct ports {
	__u16 src, dst;
};

struct icmp {
	__u8 type, code;
	__u16 checksum;
	__u32 rest;
};

enum { VLAN = 0x8100, QINQ = 0x88a8, IPV4 = 0x0800, IPV6 = 0x86dd };

enum {
	HOP_BY_HOP = 0,
	ICMP = 1,
	TCP = 6,
	UDP = 17,
	ROUTING = 43,
	FRAGMENT = 44,
	ICMPV6 = 58,
	DESTINATION = 60,
	UNKNOWN = 256, // not on the wire: the chain of headers could not be followed
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(x) __builtin_bswap16(x)
#define BE32(x) __builtin_bswap32(x)
#else
#define BE16(x) (x)
#define BE32(x) (x)
#endif
