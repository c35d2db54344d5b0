// Package web is what a balancer has on the address that `listen` names: a page for people
// with a browser, the reads of the control API that it needs, and metrics.
//
//	GET /             the page, and /assets/ what it is made of (go:embed; nothing is from elsewhere)
//	GET /v1/…         status, services, backends, counters, events, watch, openapi.json
//	GET /metrics      see internal/metrics
//
// Nobody needs credentials here, so nothing can be changed, and nothing is told of clients:
// /v1/flows is not here. What another site's page could do with a reader's browser is
// refused (guard.go).
package web
