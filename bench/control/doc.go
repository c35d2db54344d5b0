// Package control measures the control plane of a running daemon from outside: by its
// control socket, its command line, signals, its config file and the packets that its
// worker answers. Two daemons can be measured in turn, so that their figures compare.
//
// The scene is very many services over few backend addresses, all checked. One host of
// a lab holds the addresses; another sends echo requests all the time, to see what
// changes of the configuration do to packets.
//
//	scene.go     how many services there are, and the config that says so
//	plan.go      rounds, in which each daemon has its turn
//	turn.go      what is done to a daemon in its turn, in order
//	stage.go     the lab with one daemon in it
//	backends.go  the host that has the backends' addresses
//	server.go    the child that is the backends
//	daemon.go    how the daemon is started, and waited for
//	place.go     who runs on which CPU
//
//	asks.go      how long the command line takes
//	scrape.go    how long it takes to read all metrics
//	reload.go    how long a change of the file takes
//	death.go     an address dies, and comes back
//	silence.go   a program that has packets to one address dropped
//	routes.go    many changes of routes, and a MAC address that moves
//	echo.go      the child that sends echo requests
//	pulse.go     what these have found while something went on
//	found.go     what a turn has found as figures, and what was aimed at
package control
