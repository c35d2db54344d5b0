// Package agent has a guest run what the machine asks for: JSON messages over a virtio
// port, one [Serve] in the guest and one [Client] on the machine. Whoever holds the port
// is root in the guest; that is the machine alone.
package agent

// message goes both ways. The ID is that of a program that the machine has started, by
// the machine's count.
type message struct {
	ID int `json:"id,omitempty"`

	// To the guest: start a program, signal it, write a file.
	Args   []string `json:"args,omitempty"`
	Signal int      `json:"signal,omitempty"`
	Path   string   `json:"path,omitempty"`
	Data   []byte   `json:"data,omitempty"`

	// From the guest: that it is there (its kernel's release), what a program or the
	// writing came to (Exit is -1 if it did not run or was killed), and output meanwhile.
	Release string `json:"release,omitempty"`
	Output  []byte `json:"output,omitempty"`
	Exit    *int   `json:"exit,omitempty"`
	Error   string `json:"error,omitempty"`
}
