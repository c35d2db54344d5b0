package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// verb does one thing to the guest's network, or tells one:
//
//	name MAC NAME          name the interface with this MAC address
//	up|down NAME           set an interface up or down
//	addr NAME CIDR…        add addresses
//	mtu NAME BYTES         set the MTU
//	channels NAME [COUNT]  set the number of queue pairs, or tell it
//	driver NAME            tell the driver
//	feature NAME WHAT on|off
//	                       switch an offload, by the kernel's name of it
//	vlan NAME LOWER ID     make a VLAN device
//	bond NAME LOWER…       make a bond (active-backup) of interfaces
//	sysctl NAME VALUE      write a setting
//	cat FILE               print a file
//	stats NAME             print the driver's statistics
func verb(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want a verb and what it is for, got %q", args)
	}
	name, rest := args[1], args[2:]
	if n := arguments[args[0]]; len(rest) < n {
		return fmt.Errorf("%s %s: want %d more arguments, got %q", args[0], name, n, rest)
	}
	switch args[0] {
	case "name":
		return nameLink(name, rest[0])
	case "up", "down":
		return setLink(name, args[0] == "up")
	case "addr":
		return addAddrs(name, rest)
	case "mtu":
		return withLink(name, func(l netlink.Link) error {
			n, err := strconv.Atoi(rest[0])
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, n)
		})
	case "vlan":
		return addVLAN(name, rest[0], rest[1])
	case "bond":
		return addBond(name, rest)
	case "enslave":
		return enslave(name, rest[0])
	case "release":
		return withLink(name, netlink.LinkSetNoMaster)
	case "sysctl":
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(rest[0]), 0)
	case "cat":
		text, err := os.ReadFile(name)
		fmt.Print(string(text))
		return err
	case "channels", "driver", "feature", "stats":
		return askDriver(args[0], name, rest)
	}
	return fmt.Errorf("verb %q: there is none", args[0])
}

// arguments says how many each verb needs besides the name.
var arguments = map[string]int{"name": 1, "addr": 1, "mtu": 1, "feature": 2, "vlan": 2, "bond": 1, "enslave": 1, "sysctl": 1}

func withLink(name string, do func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = do(l)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func setLink(name string, up bool) error {
	return withLink(name, func(l netlink.Link) error {
		if up {
			return netlink.LinkSetUp(l)
		}
		return netlink.LinkSetDown(l)
	})
}

func nameLink(mac, name string) error {
	list, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Attrs().HardwareAddr.String() == mac {
			return netlink.LinkSetName(l, name)
		}
	}
	return fmt.Errorf("no interface has the MAC address %s", mac)
}

// addAddrs adds addresses that are usable at once.
func addAddrs(name string, cidrs []string) error {
	return withLink(name, func(l netlink.Link) error {
		for _, c := range cidrs {
			ip, network, err := net.ParseCIDR(c)
			if err != nil {
				return err
			}
			a := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: network.Mask}}
			if ip.To4() == nil {
				a.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(l, a); err != nil {
				return fmt.Errorf("add %s: %w", c, err)
			}
		}
		return nil
	})
}

func addVLAN(name, lower, id string) error {
	n, err := strconv.Atoi(id)
	if err != nil {
		return err
	}
	return withLink(lower, func(l netlink.Link) error {
		return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: l.Attrs().Index}, VlanId: n})
	})
}

func addBond(name string, lowers []string) error {
	bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: name})
	bond.Mode, bond.Miimon = netlink.BOND_MODE_ACTIVE_BACKUP, 100
	if err := netlink.LinkAdd(bond); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	for _, lower := range lowers {
		if err := enslave(lower, name); err != nil {
			return err
		}
	}
	return nil
}

// enslave makes an interface a slave of a bond, which takes none that is up (bond_enslave in
// drivers/net/bonding/bond_main.c).
func enslave(name, bond string) error {
	if err := setLink(name, false); err != nil {
		return err
	}
	return withLink(name, func(l netlink.Link) error {
		master, err := netlink.LinkByName(bond)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, master)
	})
}

func askDriver(what, name string, args []string) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer tool.Close()
	switch what {
	case "driver":
		driver, err := tool.DriverName(name)
		fmt.Println(driver)
		return err
	case "feature":
		return tool.Change(name, map[string]bool{args[0]: args[1] == "on"})
	case "stats":
		stats, err := tool.Stats(name)
		for k, v := range stats {
			fmt.Println(k, v)
		}
		return err
	}
	c, err := tool.GetChannels(name)
	if err != nil {
		return fmt.Errorf("%s: ask for the queues: %w", name, err)
	}
	if len(args) == 0 {
		fmt.Println(c.CombinedCount + c.RxCount)
		return nil
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	if c.MaxCombined > 0 {
		c.CombinedCount = uint32(n)
	} else {
		c.RxCount, c.TxCount = uint32(n), uint32(n)
	}
	_, err = tool.SetChannels(name, c)
	return err
}
