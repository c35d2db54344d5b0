// Package conntrack remembers which backend a flow belongs to.
//
// A flow is one pointer-free [Flow] record in a preallocated slab. It has two keys: the
// request's (client → service) and, where replies come back through the balancer, the
// reply's (backend → client). Both contain the client's end, its address and port, and
// by this the flow is filed, once. So eviction can never split a pair, and an insert
// waits for memory once. Three structures share the work:
//
//	slab    []Flow              the records: identity, state, counters
//	shards  map[hash]record     the authority: insert, remove, look up from any queue
//	Cache   []slot              per worker, in front, by whole keys: a hit takes no lock
//
// Slabs and caches are outside of Go's heap, where the collector does not count them.
//
// # Who may touch what
//
// A record belongs to its home shard, that of its client's end. Its
// identity is written under the home shard's lock before the record is
// published and stays unchanged until no worker can hold a reference any more:
// a removed record waits in its shard's limbo until every worker has passed a
// batch boundary (quiescent-state-based reclamation, see [Grace]). A worker may
// therefore read the identity of any record that [Flow.Live] says is live,
// without a lock, until its next boundary. All that changes during a flow's
// life is atomic; list links are guarded by the home shard's lock.
//
// Whoever holds a shard's lock takes no other one, but for [Table.Warm].
//
// # Life and death
//
// A record is in one of ten classes, each with its own timeout and its own list
// in order of last inspection. Embryonic classes (a SYN without an answer, a
// one-way UDP flow) have a budget of their own, so that a SYN flood can push out
// only its own kind. Of the established ones those of which only the client's side was
// seen yield first: a stranger needs two packets for one. [Table.Expire] walks the lists'
// heads a bounded number of records at a time; there is no long sweep.
package conntrack
