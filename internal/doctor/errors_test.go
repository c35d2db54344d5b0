package doctor

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/afxlb/afxlb/xsk"
)

// The same number means the machine where it attaches, and a file elsewhere.
func TestWhatTheMachineCannot(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EPERM: true, syscall.EMFILE: true, xsk.ErrNoInterface: true, syscall.EBUSY: false, errors.New("else"): false,
	} {
		var machine MachineError
		wrapped := AsMachine(fmt.Errorf("attach: %w", err))
		if errors.As(wrapped, &machine) != want || !errors.Is(wrapped, err) {
			t.Errorf("%v: %#v", err, wrapped)
		}
	}
}
