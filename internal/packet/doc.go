// Package packet reads and rewrites the headers of one frame in place.
//
// It knows bytes, not policy: [Parse] turns a frame into offsets and a flow
// [Key], the Rewrite functions change addresses, ports and TTL with incremental
// checksums (RFC 1624), and [Verdict] is the one list of ways in which a packet's
// life in the balancer can end. Nothing here allocates, and nothing writes
// outside of the frame that it was given.
package packet
