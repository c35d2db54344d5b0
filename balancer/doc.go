// Package balancer decides which backend a new flow goes to.
//
// There is one road from what the user wants to what a worker reads: a [Spec]
// (plain data, from the config) and [Facts] (what is known of the world: health
// and next hops) go through a [Compiler], which returns a [Draft] of an immutable
// [Table]. Every change takes this road; committing the draft makes it the next
// generation.
//
// Services and backends are what their addresses and ports say ([ServiceKey],
// [BackendKey]): what they are called decides nothing.
//
// A worker reads the table and owns a [Picker], which holds what the selection
// algorithms must remember from one flow to the next. The only thing that
// workers share and write are the [Loads]: live connections per backend.
//
// The package is pure: it does no I/O, starts no goroutine, logs nothing and
// reads no clock. It allocates in [Compiler.Compile], never per pick.
package balancer
