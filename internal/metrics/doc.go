// Package metrics offers what a running balancer counts and is to Prometheus, in its text
// format and as OpenMetrics. It asks a [Source] at each scrape and keeps nothing, but for
// how long probes took, which comes to it as it happens.
//
// Labels are bounded by the config: services, backends, interfaces, queues and reasons, and
// never a client's address. The sum over a metric's labels means something. Names follow
// https://prometheus.io/docs/practices/naming/.
//
//go:generate go test -run ^TestDocumentIsShipped$ . -update
package metrics
