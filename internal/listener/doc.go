// Package listener knows what this machine itself listens on, as the kernel's tables in
// /proc/net say, and which services have such a port: a service on one of the machine's
// own addresses comes before the machine's own servers, and they look quite well from
// inside.
package listener
