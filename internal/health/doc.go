// Package health asks backends whether they can serve.
//
// A [Prober] holds a set of targets and probes each at its interval, from the
// kernel's own network stack and never from a worker. It reports every answer
// and judges none: how many answers it takes to believe a change is
// [balancer.Health]'s business.
//
//	Set ─► one goroutine a target: wait → probe → report → wait → …
//
// Because a target's probes run one after the other in one goroutine, there is
// never more than one in flight, and the results come in order.
package health
