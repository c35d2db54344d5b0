// Package fragment remembers what only the first fragment of an IP packet tells, so that
// the others can follow it, whichever queue each comes by.
//
// A packet that comes in fragments is a [Datagram] here. Its first fragment has the
// transport's header, and goes its way as a whole packet does; what it says is the [Head].
// The others have nothing but the datagram's name. The [Table] has three answers to one:
//
//   - the first one has gone by: here is its head
//   - not yet: the fragment is held, as a copy, and comes out when the first one has, at the
//     worker that has it
//   - it can't go: it overlaps another one (RFC 5722)
//
// # What a stranger can do
//
// Anybody can send fragments with anybody's addresses, and so fill whatever there is to be
// filled. So all of it is bounded, in memory (a table takes less than 4 MB) and in time
// ([Lifetime]), and when there is no room the oldest goes first: fragments of one packet are sent
// together, so those that are worth the room need it for a moment only. A second first
// fragment that says something else leads nobody anywhere: the datagram is refused.
//
// # Who may touch what
//
// A table is for all workers. It is split into shards by the datagram's name, each with a
// lock; nobody holds two of them. Nothing allocates once a shard is in use, but for
// [Frames] that grow.
package fragment
