//go:build !amd64

package conntrack

import "github.com/afxlb/afxlb/engine/snat"

// See prefetch_amd64.go. Here the lines are loaded, which overlaps at least the misses of
// one group with each other.

// Prefetch loads the sets of hashes.
//
//go:noinline
func (c *Cache) Prefetch(hashes []uint64) (unused uint64) { // or the loads could be left out
	for _, h := range hashes {
		unused += c.set(h).tags[0]
	}
	return unused
}

// Prefetch loads the records.
//
//go:noinline
func (t *Table) Prefetch(refs []Ref) (unused uint32) {
	for _, r := range refs {
		unused += t.Flow(r).state.Load()
	}
	return unused
}

// PrefetchAddresses loads the part of the records that only IPv6 packets need.
//
//go:noinline
func (t *Table) PrefetchAddresses(refs []Ref) (unused byte) {
	for _, r := range refs {
		unused += t.addresses[r.index()][0][0]
	}
	return unused
}

// prefetch loads all of one record.
//
//go:noinline
func (t *Table) prefetch(i uint32) (unused uint32) {
	return t.flows[i].state.Load() + t.details[i].packets.Load()
}

// prefetchSource loads the word that says whose a source's port is.
//
//go:noinline
func prefetchSource(l *snat.Lease) (unused uint64) { return l.Word().Load() }
