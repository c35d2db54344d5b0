package lab

import (
	"testing"

	"github.com/safchain/ethtool"
)

// The switch leaves checksums unfinished only where it is told to.
func TestSetOffload(t *testing.T) {
	l := newLab(t, Options{})
	for _, on := range []bool{true, false} {
		if err := l.SetOffload(l.Balancer, on); err != nil {
			t.Fatal(err)
		}
		err := l.Switch.withTool(port(l.Balancer), "ask for offloads", func(tool *ethtool.Ethtool) error {
			have, err := tool.Features(port(l.Balancer))
			if have["tx-checksum-ip-generic"] != on || have["tx-tcp-segmentation"] {
				t.Errorf("offloads are %v, %v", have["tx-checksum-ip-generic"], have["tx-tcp-segmentation"])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
