// Package traffic makes the packets of millions of flows, in random order and cheaply
// enough to stand beside what is measured: a flow is a number, a frame is a template
// with that number's client filled in and the checksums brought up to date.
package traffic
