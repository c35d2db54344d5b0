package conntrack

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
		prefetchFlows(&t.flows[0], &refs[0], len(refs))
	}
}

//go:noescape
func prefetchSets(sets *set8, n uint64, hashes *uint64, count int)

//go:noescape
func prefetchFlows(flows *Flow, refs *Ref, count int)
