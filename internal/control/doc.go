// Package control is the only writer of balancing tables. One goroutine, the
// [Reconciler]'s, brings the world in line with what the user wants:
//
//	desired    the file's balancer.Spec
//	observed   answers to probes, next hops, the link       (observed.go, health.go)
//	reconcile  plan ─► commit ─► publish                    (reconcile.go)
//	View       what is so now, immutable, for all readers   (view.go)
//
// Every change takes this one road: a reload, a backend that dies, a MAC address
// that moves, a link that returns. A change of any kind notifies the goroutine, which
// gathers all facts anew; it has nothing to merge and nothing to undo. What it makes
// is planned in full before anything is stored, so that a wish that can't be
// fulfilled changes nothing, and a commit can only fail for the kernel's reasons.
//
// Nobody waits for that goroutine but who asks it for something: probe results are
// noted under a short lock, and readers load a pointer.
package control
