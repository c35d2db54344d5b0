package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/xsk"
)

func TestQueues(t *testing.T) {
	for _, c := range []struct {
		of   int // interfaces
		want []int
		rx   int
		got  []int
		text string // of the error
	}{
		{1, nil, 3, []int{0, 1, 2}, ""},
		{2, nil, 3, []int{0, 1, 2}, ""},
		{1, []int{2, 0}, 3, []int{2, 0}, ""}, // the order is the workers'
		{1, []int{0, 5, 3}, 4, nil, "no queue 5: the interface has 4 RX queues (0-3)"},
		{1, []int{1}, 1, nil, "no queue 1"},
		{2, []int{0, 5, 3}, 4, []int{0, xsk.NoQueue, 3}, ""},
		{2, []int{7, 5}, 4, nil, "no queue 7"},
	} {
		got, err := Queues(c.of > 1, c.want, c.rx)
		if !slices.Equal(got, c.got) || (err == nil) != (c.text == "") || err != nil && !(strings.Contains(err.Error(), c.text) && errors.Is(err, xsk.ErrNoQueue)) {
			t.Errorf("%v of %d: %v, %v", c.want, c.rx, got, err)
		}
	}
}
