package engine

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/xsk"
)

// Queues returns the queues to serve, by worker, of an interface, maybe one of several, which
// receives by rx of them: those wanted, in this order, or all if none is named. The error is
// [xsk.ErrNoQueue] and names the first that there is not. One of several interfaces need not
// have all of them: [xsk.NoQueue] is in their place.
func Queues(several bool, want []int, rx int) ([]int, error) {
	if len(want) == 0 {
		all := make([]int, rx)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	list, missing := slices.Clone(want), -1
	for i, q := range list {
		if q < rx {
			continue
		}
		if list[i] = xsk.NoQueue; missing < 0 {
			missing = q
		}
	}
	if missing >= 0 && (!several || slices.Max(list) == xsk.NoQueue) {
		return nil, fmt.Errorf("no queue %d: the interface has %d RX queues (0-%d): %w", missing, rx, rx-1, xsk.ErrNoQueue)
	}
	return list, nil
}
