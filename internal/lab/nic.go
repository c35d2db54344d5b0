package lab

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
)

// SetQueues has the balancer's interface receive by rx queues and send by tx, and the
// switch's end of the cable the other way round, as `ethtool -L` does. There are at most
// as many as the interface was plugged in with.
func (l *Lab) SetQueues(rx, tx int) error {
	own := func() error { return l.Balancer.setQueues(Interface, rx, tx) }
	end := func() error { return l.Switch.setQueues(port(l.Balancer), tx, rx) }
	// While a veth has a native program, it must have a queue for each that its peer
	// sends by (veth_set_channels of drivers/net/veth.c): who grows goes first.
	if err := own(); err == nil {
		return end()
	}
	return errors.Join(end(), own())
}

func (h *Host) setQueues(name string, rx, tx int) error {
	return h.withTool(name, fmt.Sprintf("set %d and %d queues", rx, tx), func(tool *ethtool.Ethtool) error {
		c, err := tool.GetChannels(name)
		if err != nil {
			return err
		}
		c.RxCount, c.TxCount = uint32(rx), uint32(tx)
		_, err = tool.SetChannels(name, c)
		return err
	})
}

// SetFeature switches an offload of an interface on or off, by the kernel's name for it.
func (h *Host) SetFeature(name, feature string, on bool) error {
	return h.withTool(name, "set "+feature, func(tool *ethtool.Ethtool) error {
		return tool.Change(name, map[string]bool{feature: on})
	})
}

// withTool has f do something to an interface.
func (h *Host) withTool(name, what string, f func(*ethtool.Ethtool) error) error {
	return h.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err == nil {
			defer tool.Close()
			err = f(tool)
		}
		if err != nil {
			return fmt.Errorf("%s of %s of %s: %w", what, name, h.Name, err)
		}
		return nil
	})
}

// SetMTU sets the MTU of an interface.
func (h *Host) SetMTU(name string, mtu int) error {
	link, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("set an MTU of %d on %s of %s: %w", mtu, name, h.Name, err)
	}
	return nil
}

// SetMTUs sets the MTU of the cable between a host and the switch, and of the switch.
func (l *Lab) SetMTUs(h *Host, mtu int) error {
	return errors.Join(h.SetMTU(Interface, mtu), l.Switch.SetMTU(port(h), mtu), l.Switch.SetMTU(l.fabric.Attrs().Name, mtu))
}
