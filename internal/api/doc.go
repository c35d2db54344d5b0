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
//	POST /v1/reload
//
// GET never changes anything. A list is a JSON array with one element a line. What
// can't be answered has another status than 200 and a line of text that says why; 422
// is a config that is wrong. An answer that was cut off has no end by HTTP's rules.
//
// The socket is for its owner and group. Clients are held to bounds all the same: in
// number, in what they may send, and in the time that they take to read.
package api
