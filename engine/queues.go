package engine

import (
	"fmt"
	"net"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/xsk"
)

// RxQueues returns how many RX queues the interface uses now (ethtool -l), or,
// where its driver does not tell, how many it was made with.
func RxQueues(name string) (int, error) {
	if _, err := net.InterfaceByName(name); err != nil {
		return 0, fmt.Errorf("find %s: %w", name, xsk.ErrNoInterface)
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return 0, fmt.Errorf("ask for the queues of %s: %w", name, err)
	}
	defer tool.Close()
	if ch, err := tool.GetChannels(name); err == nil && ch.RxCount+ch.CombinedCount > 0 {
		return int(ch.RxCount + ch.CombinedCount), nil
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("ask for the queues of %s: %w", name, err)
	}
	return max(link.Attrs().NumRxQueues, 1), nil
}
