package doctor

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/nic"
)

// Expand returns the interfaces to serve: those named, and of a bond the slaves that it has
// now. The error is a [MachineError].
func Expand(named []string) (ports []string, err error) {
	for _, name := range named {
		slaves, err := nic.Slaves(name)
		if err != nil {
			return nil, MachineError{Err: err}
		}
		for _, s := range slaves {
			if slices.Contains(ports, s) {
				return nil, MachineError{Err: fmt.Errorf("%v: %s would be served twice, for itself and as a bond's slave", named, s)}
			}
			ports = append(ports, s)
		}
	}
	if len(ports) > egress.MaxPorts {
		return nil, MachineError{Err: fmt.Errorf("%v are %d interfaces (%v), and %d can be served", named, len(ports), ports, egress.MaxPorts)}
	}
	return ports, nil
}
