package lab

import (
	"fmt"
	"testing"

	"github.com/safchain/ethtool"
)

// A frame comes by the queue that it was sent to.
func TestUplink(t *testing.T) {
	const queues = 2
	l := newLab(t, Options{Queues: queues})
	attachPass(t, l.Balancer)
	up, err := l.Uplink(queues)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 60)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}) // experimental (IEEE 802)
	for queue := range queues {
		before := packetsByQueue(t, l.Balancer, queues)
		const n = 20
		for range n {
			if err := up.Send(queue, frame); err != nil {
				t.Fatal(err)
			}
		}
		for i, after := range packetsByQueue(t, l.Balancer, queues) {
			if got := after - before[i]; (i == queue) != (got >= n) {
				t.Errorf("of %d frames for queue %d %d came by queue %d", n, queue, got, i)
			}
		}
	}
}

// packetsByQueue returns how many packets the program on a host's interface has seen.
func packetsByQueue(t *testing.T, h *Host, queues int) (n []uint64) {
	t.Helper()
	err := h.withTool(Interface, "read statistics", func(tool *ethtool.Ethtool) error {
		stats, err := tool.Stats(Interface)
		for i := range queues {
			n = append(n, stats[fmt.Sprintf("rx_queue_%d_xdp_packets", i)])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
