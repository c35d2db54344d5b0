// Package balancer decides which backend a new flow goes to.
//
// There is one road from what the user wants to what a worker reads: a [Spec]
// (plain data, from the config) and [Facts] (what is known of the world: health
// and MAC addresses) go through a [Compiler], which returns an immutable [Table].
// Every change takes this road and makes the next generation of the table.
//
// A worker reads the table and owns a [Picker], which holds what the selection
// algorithms must remember from one flow to the next. The only thing that
// workers share and write are the [Loads]: live connections per backend.
//
// The package is pure: it does no I/O, starts no goroutine, logs nothing and
// reads no clock. It allocates in [Compiler.Compile], never per pick.
package balancer
