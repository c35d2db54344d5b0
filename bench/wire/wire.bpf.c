//go:build ignore

// generate makes the frames of a load, sink takes what comes back. What they do
// together is in doc.go.

#include "../../bpf/abi.h"

char _license[] SEC("license") = "Apache-2.0";

enum { MAP_ARRAY = 2 };                // enum bpf_map_type
enum { XDP_ABORTED = 0, XDP_TX = 3 };  // enum xdp_action

static __u64 (*const ktime_get_ns)(void) = (void *)5;
static long (*const redirect)(__u32 ifindex, __u64 flags) = (void *)23;

struct tcp { // RFC 9293
	__u16 src, dst;
	__u32 seq, ack;
	__u16 flags, window, checksum, urgent;
};

#define LONGEST 80 // of a frame, in bytes

// load says what to generate. It does not change while it is being generated.
struct load {
	__u8 frame[LONGEST]; // of client 0, complete
	__u32 ifindex;       // where it goes
	__u32 flows;
	__u32 interval; // ns from frame to frame; 0: as fast as can be
	__u32 window;   // frames under way at most; 0: any number
	__u8 ipv6;
	__u8 in_turn; // one flow after the other, rather than any
	__u8 unused[6];
};

// generator is the state of generate on one CPU, which has the flows first,
// first + step, and so on.
struct generator {
	__u64 sent;
	__u64 due; // time of the next frame, if they have an interval
	// If there is a window: as many as sink had seen, since when, and how many were
	// lost up to then.
	__u64 seen, since, lost;
	__u32 first, step;
	__u32 random, turn;
};

struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct load);
} loads SEC(".maps");

struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct generator);
} generators SEC(".maps");

// expected is what sink compares with.
struct expected {
	__u8 mac[6];    // its own, and the backends'
	__u16 port;     // of the backends, network order
	__u8 client[6]; // the clients'
	__u16 unused;
	__u32 net4;     // of the backends, /24, network order
	__u32 net6[2];  // the same, /64
	__u32 pass;     // every so manieth goes to the kernel; 0: none
	__u8 answer;    // as the backends would
	__u8 padding[3];
};

// seen is what sink has counted on one CPU. Only TCP counts.
struct seen {
	__u64 packets, bytes;
	__u64 returned;  // for the backends' or the clients' MAC address
	__u64 rewritten; // for the backends' MAC address and a backend
};

struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct expected);
} expectations SEC(".maps");

struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, __u32);
	TYPE(value, struct seen);
} sights SEC(".maps");

static const __u32 only = 0; // key of maps with one entry

// adjust returns a checksum for a packet in which words that were zero, or in
// whose stead n was added, have changed: RFC 1624, 3. All is in network order.
INLINE __u16 adjust(__u16 checksum, __u32 added)
{
	__u32 sum = (__u16)~checksum + added;

	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return ~sum;
}

INLINE __u32 choose(struct generator *g, const struct load *l)
{
	__u32 own = (l->flows - g->first + g->step - 1) / (g->step ? g->step : 1);
	__u32 n;

	if (l->in_turn) {
		n = g->turn++;
		if (g->turn >= own)
			g->turn = 0;
	} else {
		// Marsaglia's xorshift, of period 2^32 - 1.
		__u32 x = g->random;
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		g->random = x;
		n = (__u64)x * own >> 32;
	}
	return g->first + n * g->step;
}

// A client's number is in the last 16 bits of its address and in its port, as
// package traffic has it.
INLINE bool write(struct xdp_md *ctx, const struct load *l, __u32 flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 low = BE16(flow & 0xffff), high = BE16(flow >> 16);
	struct tcp *tcp;

	if (l->ipv6) {
		const int length = sizeof(struct ethernet) + sizeof(struct ipv6) + sizeof(struct tcp);
		if (data + length > end)
			return false;
		__builtin_memcpy(data, l->frame, length);
		struct ipv6 *ip = data + sizeof(struct ethernet);
		*((__u16 *)ip->src + 7) = low;
		tcp = (void *)(ip + 1);
	} else {
		const int length = sizeof(struct ethernet) + sizeof(struct ipv4) + sizeof(struct tcp) + 6;
		if (data + length > end)
			return false;
		__builtin_memcpy(data, l->frame, length);
		struct ipv4 *ip = data + sizeof(struct ethernet);
		*((__u16 *)&ip->src + 1) = low;
		ip->checksum = adjust(ip->checksum, low);
		tcp = (void *)(ip + 1);
	}
	tcp->src |= high;
	tcp->checksum = adjust(tcp->checksum, low + high);
	return true;
}

// STALLED is after how many ns without an arrival all that is under way is lost.
#define STALLED 20000000

// may reports whether another frame fits into the window. Sink is on the same CPU.
INLINE bool may(struct generator *g, const struct load *l)
{
	struct seen *s = map_lookup(&sights, &only);
	__u64 now;

	if (!s || g->sent - g->lost - s->packets < l->window)
		return true;
	now = ktime_get_ns();
	if (s->packets != g->seen) {
		g->seen = s->packets;
		g->since = now;
	} else if (now - g->since > STALLED) {
		g->lost = g->sent - s->packets;
		g->since = now;
	}
	return false;
}

SEC("xdp") int generate(struct xdp_md *ctx)
{
	struct load *l = map_lookup(&loads, &only);
	struct generator *g = map_lookup(&generators, &only);

	if (!l || !g)
		return XDP_ABORTED;
	if (l->interval) {
		__u64 now = ktime_get_ns();
		if (now < g->due)
			return XDP_DROP;
		// What was missed is made up for, but not more than a millisecond of it.
		g->due = (g->due + 1000000 < now ? now - 1000000 : g->due) + l->interval;
	}
	if (l->window && !may(g, l))
		return XDP_DROP;
	if (!write(ctx, l, choose(g, l)))
		return XDP_ABORTED;
	g->sent++;
	return redirect(l->ifindex, 0);
}

INLINE bool same_mac(const __u8 *a, const __u8 *b)
{
	return *(__u32 *)a == *(__u32 *)b && *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

INLINE void swap(void *a, void *b, int n)
{
	__u16 *x = a, *y = b;

	for (int i = 0; i < n / 2; i++) {
		__u16 t = x[i];
		x[i] = y[i];
		y[i] = t;
	}
}

SEC("xdp") int sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct expected *want = map_lookup(&expectations, &only);
	struct seen *s = map_lookup(&sights, &only);
	struct ethernet *e = data;
	void *src, *dst; // addresses
	int length;      // of an address
	struct tcp *tcp;
	bool backend;

	if (!want || !s || data + sizeof(*e) > end)
		return XDP_DROP;
	if (e->type == BE16(IPV4)) {
		struct ipv4 *ip = (void *)(e + 1);
		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->protocol != TCP)
			return XDP_DROP;
		backend = (ip->dst & BE32(0xffffff00)) == want->net4;
		src = &ip->src, dst = &ip->dst, length = sizeof(ip->dst);
	} else if (e->type == BE16(IPV6)) {
		struct ipv6 *ip = (void *)(e + 1);
		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end || ip->next != TCP)
			return XDP_DROP;
		backend = ip->dst[0] == want->net6[0] && ip->dst[1] == want->net6[1];
		src = ip->src, dst = ip->dst, length = sizeof(ip->dst);
	} else {
		return XDP_DROP;
	}
	backend = backend && tcp->dst == want->port && same_mac(e->dst, want->mac);
	s->rewritten += backend;
	if (backend && want->answer) {
		// What the balancer makes of it is counted when it comes. The sums
		// stay: they do not mind the order.
		swap(e->dst, e->src, sizeof(e->dst));
		if (length == 4)
			swap(src, dst, 4);
		else
			swap(src, dst, 16);
		swap(&tcp->src, &tcp->dst, sizeof(tcp->src));
		swap(&tcp->seq, &tcp->ack, sizeof(tcp->seq));
		return XDP_TX;
	}
	s->packets++;
	s->bytes += end - data;
	s->returned += same_mac(e->dst, want->mac) || same_mac(e->dst, want->client);
	if (want->pass && s->packets % want->pass == 0)
		return XDP_PASS;
	return XDP_DROP;
}
