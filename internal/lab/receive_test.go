package lab

import (
	"fmt"
	"os"
	"testing"

	"github.com/afxlb/afxlb/internal/testutil"
)

// Each queue has a thread, and each thread is one of the kernel's that receives.
func TestReceiveByThreads(t *testing.T) {
	testutil.RequireLinux(t, 6, 8, "netlink messages that tell a queue's thread")
	for _, queues := range []int{1, 4} {
		l := newLab(t, Options{Queues: queues})
		ids, err := l.Balancer.ReceiveByThreads(Interface)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for _, id := range ids {
			seen[id] = true
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", id))
			if want := "napi/" + Interface; err != nil || string(name[:min(len(name), len(want))]) != want {
				t.Errorf("thread %d is %q, %v", id, name, err)
			}
		}
		if len(seen) != queues {
			t.Errorf("threads %v for %d queues", ids, queues)
		}
		again, err := l.Balancer.ReceiveByThreads(Interface)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(ids) {
			t.Errorf("asked again: %v, %v; before: %v", again, err, ids)
		}
	}
	if _, err := newLab(t, Options{}).Balancer.ReceiveByThreads("eth9"); err == nil {
		t.Error("no error for an interface that there is not")
	}
}
