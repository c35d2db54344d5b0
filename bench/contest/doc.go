// Package contest measures balancers against each other on the same wire: what they add
// to the time of an answer, and how many connections they carry. Each contender (see
// bench/peer) has the balancer's host of a lab to itself; clients and servers are real
// ones (see bench/ends). All take their turns in each round.
//
//	contender.go    who takes part, nobody among them: the wire by itself
//	stage.go        the lab with one contender, a server and clients
//	place.go        who runs on which CPU
//	plan.go         rounds, in which each has its turn
//	receiving.go    the threads of the kernel that receive for the balancer
//
//	latency.go      times of answers, on an idle wire and at half of what is carried
//	connections.go  new connections and requests a second, and what they cost
package contest
