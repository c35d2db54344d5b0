package conntrack

import "github.com/afxlb/afxlb/engine/snat"

// Prefetch has the processor load the sets of hashes into its caches while it goes on.
// A load in Go would do the same only as long as little work comes behind it: a load that
// waits keeps all that follows from being done with.
func (c *Cache) Prefetch(hashes []uint64) {
	if len(hashes) > 0 {
		prefetchSets(&c.sets[0], uint64(len(c.sets)), &hashes[0], len(hashes))
	}
}

// Prefetch does for records what [Cache.Prefetch] does for sets.
func (t *Table) Prefetch(refs []Ref) {
	if len(refs) > 0 {
		prefetchRecords(lineOf(&t.flows[0]), &refs[0], len(refs))
	}
}

// PrefetchAddresses is for the part of a record that only IPv6 packets need.
func (t *Table) PrefetchAddresses(refs []Ref) {
	if len(refs) > 0 {
		prefetchRecords(lineOf(&t.addresses[0]), &refs[0], len(refs))
	}
}

// prefetch is for all of one record.
func (t *Table) prefetch(i uint32) {
	prefetchLine(lineOf(&t.flows[i]))
	prefetchLine(lineOf(&t.details[i]))
}

// prefetchSource is for the word that says whose a source's port is.
func prefetchSource(l *snat.Lease) { prefetchLine(lineOf(l.Word())) }

//go:noescape
func prefetchSets(sets *set8, n uint64, hashes *uint64, count int)

// prefetchRecords is for slabs of cache lines.
//
//go:noescape
func prefetchRecords(slab *cacheLine, refs *Ref, count int)

//go:noescape
func prefetchLine(line *cacheLine)
