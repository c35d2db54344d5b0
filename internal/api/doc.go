// Package api is the one door to a running balancer for people and tools: HTTP
// and JSON over the control socket. It holds the types of the answers, the
// server and the client. Fields may be added to an answer, but are never renamed
// or removed.
//
//	GET  /v1/status
//	GET  /v1/services
//	GET  /v1/backends?service=NAME
//	GET  /v1/flows?service=NAME&backend=NAME&client=ADDRESS&limit=N
//	GET  /v1/counters
//	GET  /v1/events?since=TIME&after=ID
//	GET  /v1/watch?rate=N&with=LISTS&service=NAME
//	POST /v1/reload
//	GET  /v1/openapi.json
//
// The last one is the description of the others in OpenAPI 3.1, which is made from the Go
// types (routes.go) and shipped as docs/openapi.json. What it does not name is refused:
// other parameters and values, and a body.
//
// GET never changes anything, and is for all who may open the socket. Changes are for the
// socket's owner and group (peer.go). A list is a JSON array with one element a line. What
// can't be answered is a problem document of RFC 9457. An answer that was cut off has no
// end by HTTP's rules.
//
// Streams are server-sent events (stream.go): of what happens, from a ring that bounds what
// is kept for slow readers, and of the status.
//
// Clients are held to bounds: in number, in what they may send, and in the time that they
// take to read.
package api

//go:generate go test -run "^(TestDocumentIsShipped|TestKindsAreDocumented)$" . -update
