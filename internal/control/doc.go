// Package control is the only writer of balancing tables. It holds together what
// the user wants (a balancer.Spec), what is known of the world (health, next
// hops, local addresses), and the engine:
//
//	Spec ─┐
//	health ├─► rebuild: balancer.Compile ─► Table n+1 ─► engine.Apply ─► workers
//	hops ──┘                                 └─► steering ─► kernel
//
// Every change takes this one road: a reload, a backend that dies, a MAC address
// that moves. A change of any kind pokes one goroutine, which gathers all facts
// anew; it has nothing to merge and nothing to undo.
package control
