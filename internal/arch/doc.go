// Package arch holds no code: its tests hold the shape of the repository. Who
// may import whom, that every package says what it is for, that no file grows
// out of hand and that all are formatted.
package arch
