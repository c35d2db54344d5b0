package engine

import (
	"errors"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

func TestRxQueues(t *testing.T) {
	testutil.RequireRoot(t)
	for _, queues := range []int{1, 3} {
		l, err := lab.New(lab.Options{Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		err = l.Balancer.Do(func() error {
			if n, err := RxQueues(lab.Interface); err != nil || n != queues {
				t.Errorf("%s: %d queues, %v; want %d", lab.Interface, n, err, queues)
			}
			if n, err := RxQueues("lo"); err != nil || n != 1 {
				t.Errorf("lo: %d queues, %v; its driver does not tell, so it has one", n, err)
			}
			if _, err := RxQueues("nosuch0"); !errors.Is(err, xsk.ErrNoInterface) {
				t.Errorf("nosuch0: %v, want ErrNoInterface", err)
			}
			return nil
		})
		if err := errors.Join(err, l.Close()); err != nil {
			t.Error(err)
		}
	}
}
