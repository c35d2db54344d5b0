package engine

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/xsk"
)

// Queues returns the queues to serve of an interface that receives by rx of them: those
// wanted, in this order, or all if none is named. The error is [xsk.ErrNoQueue] and names
// the first that there is not.
func Queues(want []int, rx int) ([]int, error) {
	if len(want) == 0 {
		all := make([]int, rx)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	for _, q := range want {
		if q >= rx {
			return nil, fmt.Errorf("no queue %d: the interface has %d RX queues (0-%d): %w", q, rx, rx-1, xsk.ErrNoQueue)
		}
	}
	return slices.Clone(want), nil
}
