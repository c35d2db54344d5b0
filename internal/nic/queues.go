package nic

import (
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// queues returns how many RX and TX queues the interface uses, the kernel's
// real_num_rx_queues and real_num_tx_queues. Sysfs shows just them, but it is not always
// this network namespace's. The channels of ethtool -l are the driver's view, where the
// queues that virtio-net adds for XDP are pairs though they only receive
// (virtnet_xdp_set of drivers/net/virtio_net.c). The link's attributes are what it was
// made with.
func (r *reader) queues(a *netlink.LinkAttrs) (rx, tx int) {
	if rx, tx, ok := sysfsQueues("/sys/class/net/"+r.name, a); ok {
		return rx, tx
	}
	if c, err := r.tool.GetChannels(r.name); err == nil {
		rx, tx = int(c.RxCount+c.CombinedCount), int(c.TxCount+c.CombinedCount)
	}
	if rx == 0 {
		rx = a.NumRxQueues
	}
	if tx == 0 {
		tx = a.NumTxQueues
	}
	return max(rx, 1), max(tx, 1)
}

// sysfsQueues counts the queues of a device's folder; ok tells whether the folder is of
// the interface and not of one of the same name in another namespace.
func sysfsQueues(folder string, a *netlink.LinkAttrs) (rx, tx int, ok bool) {
	if attribute(folder, "ifindex") != strconv.Itoa(a.Index) || attribute(folder, "address") != a.HardwareAddr.String() {
		return 0, 0, false
	}
	list, err := os.ReadDir(folder + "/queues")
	if err != nil {
		return 0, 0, false
	}
	for _, entry := range list {
		switch {
		case strings.HasPrefix(entry.Name(), "rx-"):
			rx++
		case strings.HasPrefix(entry.Name(), "tx-"):
			tx++
		}
	}
	return rx, tx, rx > 0 && tx > 0
}

func attribute(folder, name string) string {
	text, err := os.ReadFile(folder + "/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
