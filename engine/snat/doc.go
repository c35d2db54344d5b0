// Package snat lends out the source ports of full NAT: a backend sees an address of the
// balancer's own and a port that no other flow to that backend has at the time, so that its
// answers tell the flow.
//
// There is a pool for each source address and each remote end (a backend's address, port
// and protocol), so that one address carries as many flows to each of them as there are
// ports. A pool has a bit a port, which says whether it is free, and a word, which says of
//
//	a free one           nothing
//	one that is lent     the flow: by this word an answer finds it
//	one that rests       since when, and which port came to rest after it
//
// # Which port a flow gets
//
// The ports lie in windows of 1024. In each of them the hash of the client's end says one
// candidate, and the first that is free is the flow's, in the first window where there is
// one. So the memory that a pool takes follows what is used of it; what a stranger on the
// backends' side could guess is spread; and the balancer that comes after this one lends
// most flows the port that they had, which is what keeps a connection over a restart.
//
// # Who may touch what
//
// A port is taken by setting its bit, without a lock: workers share a pool, and meet only
// where both want one of the same 64 ports. Coming to rest is what the pool's lock is for, which
// is held for moments by whoever removes a flow, and by [Pools.Reap].
//
// # Rest
//
// A port that was lent rests for [Rest] before it is free: the backend may still be in
// TIME-WAIT for what it was used for (RFC 9293, 3.3.2: 2 MSL, in Linux a minute), and would
// answer another connection's SYN by what it knows. Where none is free at all, those that
// have rested for [ShortRest] are free already: late packets are over by then, and a server
// in TIME-WAIT is more likely to take a SYN than one that never gets it.
package snat
