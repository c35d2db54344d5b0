//go:build ignore
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only

// steer decides whose packet this is, and nothing else: a service's, then it goes
// to the AF_XDP socket of its RX queue; or not, then the kernel has it. The rules
// and their reasons are in doc.go.
//
// It needs Linux 5.12: for read_ip; all else is older (bounded loops and the
// default action of bpf_redirect_map are of 5.3, bpf_skc_lookup_tcp is of 5.2).
//
// The kernel keeps its socket look-ups for programs under the GPL, and knows no name
// for a choice of licences that has it and Apache-2.0. This file and abi.h are
// therefore under either, and the kernel is told of the one that it asks for.

#include "abi.h"

char _license[] SEC("license") = "GPL";

// Ports are listed in blocks: 2^order ports, the first one a multiple of that.
// Order 0 is a single port, order 16 all of them, and any range of ports is at
// most 30 blocks. So there is no limit to the ranges of an address.
#define ORDERS 17

// TUNNEL is the order of a block that has no ports: a backend where a tunnel ends that we
// enter, with the protocol of its outer header and, if that is UDP, its port.
#define TUNNEL ORDERS

struct ip {
	__u8 byte[16]; // as on the wire, IPv4 as ::ffff:a.b.c.d
} __attribute__((aligned(4)));

struct block {
	struct ip address;
	__u16 first; // host order
	__u8 protocol;
	__u8 order;
};

// datagram is what the fragments of one packet have in common (RFC 791, RFC 8200, 4.5).
struct datagram {
	struct ip src, dst;
	__u32 id;
	__u32 protocol;
};

// address says what an address is to us. Bit n of the words for ports is set when
// it has blocks of order n, so that only these need to be looked for.
struct address {
	__u32 tcp, udp;             // a service's
	__u32 reply_tcp, reply_udp; // a nat backend's
	__u32 local;                // 1: one of this machine's own
	struct range {
		__u16 first, last; // host order, both included; 0 to 0: none
	} snat, // ports of an own address that full NAT speaks from
		ephemeral; // those of them that the kernel gives to connections
};

// share says which of this machine's own sockets may have a service's port, on an
// address that is its own too: their packets are not the service's.
enum share {
	SHARE_NONE,
	SHARE_CONNECTED, // it may have been given to a connection (ip_local_port_range)
	SHARE_BOUND,     // a service of many ports: to an unconnected UDP socket as well
};

// reason says what was done with a packet and why. Each packet has exactly one.
// counters.go has the names.
enum reason {
	PASSED,
	STEERED_SERVICE,
	STEERED_REPLY,
	STEERED_ICMP,
	STEERED_FRAGMENT,
	STEERED_UNREADABLE,
	DROPPED_NO_SOCKET,
	REASONS,
};

// The sizes that say 1 are set when the program is loaded.

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, NO_PREALLOC); // a high limit costs nothing before it is used
	NUMBER(max_entries, 1);
	TYPE(key, struct ip);
	TYPE(value, struct address);
} addresses SEC(".maps");

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, NO_PREALLOC);
	NUMBER(max_entries, 1);
	TYPE(key, struct block);
	TYPE(value, __u8); // enum share
} services SEC(".maps");

struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, NO_PREALLOC);
	NUMBER(max_entries, 1);
	TYPE(key, struct block);
	TYPE(value, __u8);
} replies SEC(".maps");

// macs are the MAC addresses that this machine takes frames for.
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(map_flags, NO_PREALLOC);
	NUMBER(max_entries, 1);
	TYPE(key, __u64);
	TYPE(value, __u8);
} macs SEC(".maps");

// own_mac is the one of them that nearly all frames are for: it is compared with
// before anything is looked up. 0: frames are not judged by their MAC address.
volatile __u64 own_mac;

// passed_datagrams came in fragments lately, and are the kernel's although their addresses
// alone don't tell: to this machine itself on a service's address, or from a backend's
// other servers.
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct datagram);
	TYPE(value, __u8);
} passed_datagrams SEC(".maps");

struct {
	NUMBER(type, MAP_XSK);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, __u32);
} sockets SEC(".maps");

struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, REASONS);
	TYPE(key, enum reason);
	TYPE(value, __u64);
} counters SEC(".maps");

// packet is what could be read of an IP packet's headers.
struct packet {
	struct ip src, dst;
	__u16 at;           // where in the frame the transport's header is
	__u16 left;         // how much of the IP packet is there; 0: unreadable
	__u16 sport, dport; // host order
	__u32 id;           // of a fragment
	__u16 protocol;     // the transport's
	bool ports;         // sport and dport could be read
	bool icmp;          // protocol is this IP version's ICMP
	bool fragment;      // one of several
	bool later;         // a fragment, and not the first
	bool group;         // dst is multicast or broadcast
};

// cursor is the place in the frame that has been read up to. Both the frame and
// the IP packet inside of it bound what may be read: what follows the IP packet
// in the frame is padding.
struct cursor {
	void *at, *end;
	__u32 left; // of the IP packet
};

INLINE bool has(const struct cursor *c, __u32 n)
{
	return n <= c->left && c->at + n <= c->end;
}

// cursor_at stands at an offset in the frame. No header that is read begins past
// 2^14 and a little (EXTENSIONS of 2^11 bytes each), which the verifier can't see.
INLINE struct cursor cursor_at(struct xdp_md *ctx, __u16 at, __u16 left)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return (struct cursor){data + (at & 0x7fff), end, left};
}

INLINE __u16 offset(struct xdp_md *ctx, const struct cursor *c)
{
	return c->at - (void *)(long)ctx->data;
}

// skip goes n bytes on: all of these are in the IP packet, though perhaps not in
// the frame.
INLINE void skip(struct cursor *c, __u32 n)
{
	c->at += n;
	c->left -= n;
}

INLINE struct ip mapped(__u32 ipv4)
{
	struct ip ip = {{[10] = 0xff, 0xff}};

	__builtin_memcpy(ip.byte + 12, &ipv4, sizeof(ipv4));
	return ip;
}

INLINE bool is_mapped(const __u32 ip[4])
{
	return ip[0] == 0 && ip[1] == 0 && ip[2] == BE32(0xffff);
}

// limit says how much of the frame is of the IP packet.
INLINE void limit(struct cursor *c, __u32 n)
{
	if (n < c->left)
		c->left = n;
}

INLINE bool read_ipv4(struct cursor *c, struct packet *p)
{
	struct ipv4 *ip = c->at;

	if (!has(c, sizeof(*ip)) || ip->version_ihl >> 4 != 4)
		return false;
	p->src = mapped(ip->src);
	p->dst = mapped(ip->dst);
	p->group = *(__u8 *)&ip->dst >> 4 == 14 || ip->dst == 0xffffffff;
	p->protocol = ip->protocol;
	p->icmp = ip->protocol == ICMP;
	p->fragment = ip->fragment & BE16(0x3fff);
	p->later = ip->fragment & BE16(0x1fff);
	p->id = ip->id;

	__u32 header = (ip->version_ihl & 15) * 4;
	limit(c, BE16(ip->length));
	if (header < sizeof(*ip) || header > c->left)
		c->left = 0;
	else
		skip(c, header);
	return true;
}

INLINE bool is_extension(__u16 protocol)
{
	return protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT || protocol == DESTINATION;
}

// EXTENSIONS bounds the chain of IPv6 extension headers. RFC 8200, 4.1 has at
// most seven in a packet, two of which are not ours to follow (AH, ESP).
#define EXTENSIONS 8

INLINE bool read_ipv6(struct cursor *c, struct packet *p)
{
	struct ipv6 *ip = c->at;

	if (!has(c, sizeof(*ip)) || *(__u8 *)ip >> 4 != 6)
		return false;
	__builtin_memcpy(&p->src, ip->src, sizeof(p->src));
	__builtin_memcpy(&p->dst, ip->dst, sizeof(p->dst));
	// No such address may be on the wire, and none must pass for an IPv4 one.
	if (is_mapped(ip->src) || is_mapped(ip->dst))
		return false;
	p->group = *(__u8 *)ip->dst == 0xff;

	__u16 next = ip->next;
	__u32 length = BE16(ip->length);
	skip(c, sizeof(*ip));
	limit(c, length);
	for (int i = 0; i < EXTENSIONS && is_extension(next); i++) {
		struct extension *e = c->at;
		__u32 header = sizeof(*e);

		if (!has(c, sizeof(*e)))
			break;
		if (next == FRAGMENT) {
			struct fragment *f = c->at;
			// A fragment that is also the whole (RFC 6946) is none.
			p->fragment = f->offset & BE16(0xfff9);
			p->later = f->offset & BE16(0xfff8);
			p->id = f->id;
		} else {
			header += e->length * 8;
		}
		next = e->next;
		if (header > c->left) {
			c->left = 0;
			break;
		}
		skip(c, header);
		if (p->fragment)
			break;
	}
	p->protocol = is_extension(next) ? UNKNOWN : next;
	p->icmp = next == ICMPV6;
	return true;
}

// read_ip reads the IP packet that begins at offset at in the frame and has at
// most left bytes. It returns 0 if there are no addresses to judge by.
//
// It is global so that the verifier walks it once, by itself, and not once more
// for each way in which its caller got there (Linux 5.12).
__attribute__((noinline)) int read_ip(struct xdp_md *ctx, struct packet *p, __u32 type, __u16 at, __u16 left)
{
	struct cursor c = cursor_at(ctx, at, left);

	if (!p)
		return 0;
	*p = (struct packet){};
	if (type == IPV4) {
		if (!read_ipv4(&c, p))
			return 0;
	} else if (type == IPV6) {
		if (!read_ipv6(&c, p))
			return 0;
	} else {
		return 0;
	}
	if ((p->protocol == TCP || p->protocol == UDP) && !p->later && has(&c, sizeof(struct ports))) {
		struct ports *ports = c.at;
		p->sport = BE16(ports->src);
		p->dport = BE16(ports->dst);
		p->ports = true;
	}
	p->at = offset(ctx, &c);
	p->left = c.left;
	return 1;
}

// is_for_us tells by the destination MAC address if a frame is for this machine and for
// no other besides. A switch that floods, a mirrored port and a promiscuous interface
// show us frames of others, and the kernel takes none of them.
INLINE bool is_for_us(const struct ethernet *e)
{
	__u64 own = own_mac, dst;
	__u16 word[3];

	__builtin_memcpy(word, e->dst, sizeof(word));
	dst = word[0] | (__u64)word[1] << 16 | (__u64)word[2] << 32;
	if (dst == own)
		return true;
	if (dst & 1) // to a group
		return false;
	return !own || map_lookup(&macs, &dst);
}

// read_ethernet returns the EtherType behind at most two VLAN tags, and where
// that ends; 0 if it can't be read, or if the frame is not for us.
INLINE __u16 read_ethernet(struct xdp_md *ctx, __u16 *at)
{
	struct cursor c = cursor_at(ctx, 0, 0xffff);
	struct ethernet *e = c.at;

	if (!has(&c, sizeof(*e)) || !is_for_us(e))
		return 0;
	__u16 type = BE16(e->type);
	skip(&c, sizeof(*e));
	for (int i = 0; i < 2 && (type == VLAN || type == QINQ); i++) {
		struct vlan *v = c.at;
		if (!has(&c, sizeof(*v)))
			return 0;
		type = BE16(v->type);
		skip(&c, sizeof(*v));
	}
	*at = offset(ctx, &c);
	return type;
}

// listed looks for the blocks of those orders that the port would be in, the smallest
// first, and returns what is said of it.
INLINE const __u8 *listed(void *map, const struct ip *address, __u16 protocol, __u16 port, __u32 orders)
{
	struct block b = {.address = *address, .protocol = protocol};

	for (__u32 order = 0; order < ORDERS; order++) {
		__u32 rest = orders >> order;
		if (!rest)
			break;
		if (!(rest & 1))
			continue;
		b.first = (__u32)port >> order << order;
		b.order = order;
		const __u8 *found = map_lookup(map, &b);
		if (found)
			return found;
	}
	return 0;
}

INLINE bool has_service(const struct address *a)
{
	return a && (a->tcp | a->udp);
}

// may_serve judges without a port: has the address a service of this protocol?
INLINE bool may_serve(const struct address *a, const struct packet *p)
{
	switch (p->protocol) {
	case TCP:
		return a->tcp;
	case UDP:
		return a->udp;
	case UNKNOWN:
		return a->tcp | a->udp;
	default:
		return p->icmp;
	}
}

// is_own reports whether this machine has a socket of its own for a packet that is to
// it: a TCP connection, in whatever state, or a UDP socket as far as the share goes. A
// TCP listener is none: its port is the service's.
//
// It is global for the same reason as read_ip.
__attribute__((noinline)) int is_own(struct xdp_md *ctx, struct packet *p, __u32 type, enum share share)
{
	struct ends6 ends = {};
	__u32 size = sizeof(ends);

	if (!p)
		return 0;
	if (type == IPV4) {
		struct ends4 *four = (struct ends4 *)&ends;
		__builtin_memcpy(&four->src, p->src.byte + 12, sizeof(four->src));
		__builtin_memcpy(&four->dst, p->dst.byte + 12, sizeof(four->dst));
		four->sport = BE16(p->sport);
		four->dport = BE16(p->dport);
		size = sizeof(*four);
	} else {
		__builtin_memcpy(ends.src, p->src.byte, sizeof(ends.src));
		__builtin_memcpy(ends.dst, p->dst.byte, sizeof(ends.dst));
		ends.sport = BE16(p->sport);
		ends.dport = BE16(p->dport);
	}
	bool own;
	if (p->protocol == TCP) {
		struct bpf_sock *sk = skc_lookup_tcp(ctx, &ends, size, CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		own = sk->state != TCP_LISTEN;
		sk_release(sk);
	} else {
		struct bpf_sock *sk = sk_lookup_udp(ctx, &ends, size, CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		// A connected one is found only by its own remote end.
		own = share == SHARE_BOUND || sk->state == TCP_ESTABLISHED;
		sk_release(sk);
	}
	return own;
}

// serves reports whether the packet is for a service, and not for a socket of this
// machine's own. Its destination, which a is about, has ports.
INLINE bool serves(struct xdp_md *ctx, const struct address *a, struct packet *p, __u16 type)
{
	const __u8 *share = listed(&services, &p->dst, p->protocol, p->dport, p->protocol == TCP ? a->tcp : a->udp);

	return share && (*share == SHARE_NONE || !is_own(ctx, p, type, *share));
}

// may_reply judges without a port: is there a nat backend of this protocol?
INLINE bool may_reply(const struct address *a, const struct packet *p)
{
	switch (p->protocol) {
	case TCP:
		return a->reply_tcp;
	case UDP:
		return a->reply_udp;
	case UNKNOWN:
		return a->reply_tcp | a->reply_udp;
	default:
		return false;
	}
}

// replies_from reports whether a nat backend listens at ip and port.
INLINE bool replies_from(const struct address *a, const struct ip *ip, const struct packet *p, __u16 port)
{
	__u32 orders = p->protocol == TCP ? a->reply_tcp : p->protocol == UDP ? a->reply_udp : 0;

	if (!p->ports)
		return orders >> (ORDERS - 1); // any port will do
	return listed(&replies, ip, p->protocol, port, orders);
}

INLINE bool in(struct range r, __u16 port)
{
	return r.last && r.first <= port && port <= r.last;
}

// is_answer reports whether a packet from a backend, which is to this machine itself, is to
// a port that full NAT speaks from, and not to a socket of this machine's own. to is what
// its destination is to us.
INLINE bool is_answer(struct xdp_md *ctx, const struct address *to, struct packet *p, __u16 type)
{
	return p->ports && in(to->snat, p->dport) && !(in(to->ephemeral, p->dport) && is_own(ctx, p, type, SHARE_BOUND));
}

// is_reply reports whether a packet is from a nat backend, where that listens.
INLINE bool is_reply(const struct packet *p)
{
	const struct address *from = map_lookup(&addresses, &p->src);

	return from && replies_from(from, &p->src, p, p->sport);
}

// is_in_tunnel reports whether a packet is one that we have sent to a backend inside of
// another one.
INLINE bool is_in_tunnel(const struct packet *p)
{
	struct block b = {.address = p->dst, .protocol = p->protocol, .order = TUNNEL};

	if (p->protocol == UDP)
		b.first = p->dport;
	return map_lookup(&replies, &b);
}

INLINE bool is_echo_request(__u16 type, const struct icmp *m)
{
	return m->type == (type == IPV4 ? 8 : 128);
}

// is_error: those that quote a packet of a flow. A redirect is about the kernel's
// routes and source quench is dead (RFC 6633).
INLINE bool is_error(__u16 type, const struct icmp *m)
{
	if (type == IPV4)
		return m->type == 3 || m->type == 11 || m->type == 12;
	return m->type >= 1 && m->type <= 4;
}

// turn makes of a packet with ports one that goes the other way.
INLINE void turn(struct packet *p)
{
	struct ip src = p->src;
	__u16 sport = p->sport;

	p->src = p->dst;
	p->sport = p->dport;
	p->dst = src;
	p->dport = sport;
}

// judge_icmp judges a whole ICMP message, to is its destination.
INLINE enum reason judge_icmp(struct xdp_md *ctx, const struct packet *p, __u16 type, const struct address *to)
{
	bool local = to && to->local;
	bool service = has_service(to);
	struct cursor c = cursor_at(ctx, p->at, p->left);
	struct icmp *m = c.at;

	if (!has(&c, 1))
		return service ? STEERED_UNREADABLE : PASSED;
	if (is_echo_request(type, m))
		return service ? STEERED_ICMP : PASSED;
	if (!is_error(type, m))
		return PASSED;
	if (service && !local)
		return STEERED_ICMP;

	struct packet quoted = {};
	if (p->left < sizeof(*m))
		return service ? STEERED_UNREADABLE : PASSED;
	if (!read_ip(ctx, &quoted, type, p->at + sizeof(*m), p->left - sizeof(*m)))
		return service ? STEERED_UNREADABLE : PASSED;
	if (is_in_tunnel(&quoted)) // whatever address of ours it has come from
		return STEERED_ICMP;
	if (local && !service && !to->snat.last)
		return PASSED;
	if (local) {
		// The kernel has flows of its own from this address. Only an error
		// about what a service answered, or full NAT has sent on, is ours.
		const struct address *from = map_lookup(&addresses, &quoted.src);
		if (!from)
			return PASSED;
		if (quoted.ports) {
			turn(&quoted); // what it would be an answer to, or answered by
			if (from->snat.last)
				return is_reply(&quoted) && is_answer(ctx, from, &quoted, type) ? STEERED_ICMP : PASSED;
			return serves(ctx, from, &quoted, type) ? STEERED_ICMP : PASSED;
		}
		return !quoted.icmp && may_serve(from, &quoted) ? STEERED_UNREADABLE : PASSED;
	}
	// On its way to a client, about a packet that the client or we sent.
	const struct address *about = map_lookup(&addresses, &quoted.dst);
	if (!about)
		return PASSED;
	if (has_service(about) || replies_from(about, &quoted.dst, &quoted, quoted.dport))
		return STEERED_ICMP;
	return PASSED;
}

// is_passed reports whether a fragment, which may be ours, is the kernel's. The first one of
// a packet tells, by what the caller knows of it, and is remembered for the others.
INLINE bool is_passed(const struct packet *p, bool ours)
{
	struct datagram d = {p->src, p->dst, p->id, p->protocol};
	__u8 yes = 1;

	if (p->later)
		return map_lookup(&passed_datagrams, &d);
	if (ours) // another one may have had its name
		map_delete(&passed_datagrams, &d);
	else
		map_update(&passed_datagrams, &d, &yes, 0);
	return !ours;
}

// is_own_datagram is is_passed for a fragment to one of this machine's own addresses.
INLINE bool is_own_datagram(struct xdp_md *ctx, const struct packet *p, __u16 type, bool served)
{
	struct cursor c = cursor_at(ctx, p->at, p->left);

	return is_passed(p, p->icmp ? !has(&c, 1) || is_echo_request(type, c.at) : !p->ports || served);
}

INLINE enum reason judge(struct xdp_md *ctx)
{
	struct packet p = {};
	__u16 at = 0, type = read_ethernet(ctx, &at);

	if (!read_ip(ctx, &p, type, at, 0xffff))
		return PASSED;
	const struct address *to = map_lookup(&addresses, &p.dst);
	if (p.icmp && !p.fragment)
		return judge_icmp(ctx, &p, type, to);
	if (has_service(to)) {
		bool served = p.ports && serves(ctx, to, &p, type);

		// All fragments of a packet must go the same way, and only the first
		// has ports: where nobody else needs them, none is judged by them.
		if (p.fragment) {
			if (may_serve(to, &p) && !(to->local && is_own_datagram(ctx, &p, type, served)))
				return STEERED_FRAGMENT;
		} else if (served) {
			return STEERED_SERVICE;
		} else if (!p.ports && may_serve(to, &p)) {
			return STEERED_UNREADABLE;
		}
	}
	if ((to && to->local && !to->snat.last) || p.group)
		return PASSED;
	const struct address *from = map_lookup(&addresses, &p.src);
	if (!from || (p.fragment && !may_reply(from, &p)))
		return PASSED;
	bool reply = replies_from(from, &p.src, &p, p.sport) && (!to || !to->local || is_answer(ctx, to, &p, type));
	if (p.fragment)
		return is_passed(&p, reply) ? PASSED : STEERED_FRAGMENT;
	return reply ? STEERED_REPLY : PASSED;
}

INLINE void count(enum reason why)
{
	__u32 key = why;
	__u64 *n = map_lookup(&counters, &key);

	if (n)
		(*n)++;
}

SEC("xdp") int steer(struct xdp_md *ctx)
{
	enum reason why = judge(ctx);
	int action = XDP_PASS;

	if (why != PASSED) {
		action = redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
		if (action != XDP_REDIRECT)
			why = DROPPED_NO_SOCKET;
	}
	count(why);
	return action;
}
