// Package health asks backends whether they can serve.
//
// A [Prober] holds a set of targets and probes each at its interval, from the
// kernel's own network stack and never from a worker. A [Target] is a question:
// backends of many services that would be asked the same share one probe. The
// Prober reports every answer and judges none: how many answers it takes to
// believe a change is [balancer.Health]'s business.
//
// There are two kinds of questions: a connection to a backend's own address, with or
// without a request ([TargetOf]), and a half-open one to a service's address that goes
// to a backend's MAC address ([HolderOf]; see halfopen.go). A check harms nobody: no
// server sees a connection of either kind aborted (hangup.go).
//
//	Set, Kick ─► timer ─► queue ─► probe ─► report ─► timer …
//	             (due)    (turn)   (in flight)
//
// A target is in one of these places at a time, so that it never has two probes
// in flight, and its results come in order. A waiting target costs a timer and no
// goroutine.
//
// An error tells of the backend only if it came from there. What kept the balancer
// itself from asking, or from looking for the answer, is marked as local: see
// local.go, which has the reasons.
package health
