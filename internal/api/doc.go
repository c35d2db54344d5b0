// Package api is the one door to a running balancer for people and tools: HTTP
// and JSON over the control socket. It holds the types of the answers, the
// server and the client. Fields may be added to an answer, but are never renamed
// or removed; reading never changes anything.
//
//	GET /v1/status
//	GET /v1/services
//	GET /v1/backends?service=NAME
//	GET /v1/flows?service=NAME&backend=NAME&client=ADDRESS&limit=N
//	GET /v1/counters
package api
