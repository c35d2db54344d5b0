// Package ends is the two ends of what goes through a balancer: a server that echoes,
// and clients that ask it. Each runs in a process of its own (see bench/child) on one
// host of a lab, on few threads with plain system calls: Go's poller and garbage
// collector would be in every figure else.
//
//	socket.go   sockets of the kernel, without Go's poller
//	message.go  what is sent, and how an answer is known to be right
//	server.go   the server
//	ping.go     one question at a time: how long answers take
//	load.go     many questions at a time: at a rate, or as many as are answered
//	connect.go  a new connection for each question
//	task.go     what a client can be asked for
package ends
