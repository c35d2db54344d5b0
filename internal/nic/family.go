package nic

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// family is one of generic netlink, as this kernel has it.
type family struct {
	id     uint16
	groups map[string]uint32 // multicast, by name
}

// findFamily asks for the family of a name. netlink.GenlFamilyGet is not used for that: its
// nl.Genlmsg has two bytes and is read as four, of which two are somebody else's, who may be
// writing them.
func findFamily(name string) (f family, err error) {
	r := nl.NewNetlinkRequest(nl.GENL_ID_CTRL, 0)
	r.AddRawData(generic(nl.GENL_CTRL_CMD_GETFAMILY, nl.GENL_CTRL_VERSION, nl.NewRtAttr(nl.GENL_CTRL_ATTR_FAMILY_NAME, nl.ZeroTerminated(name))))
	replies, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err == nil && len(replies) != 1 {
		err = fmt.Errorf("%d answers", len(replies))
	}
	if err == nil {
		f, err = readFamily(replies[0])
	}
	if err != nil {
		return f, fmt.Errorf("ask for the family %s of generic netlink: %w", name, err)
	}
	return f, nil
}

// generic is a request of generic netlink: genlmsghdr, whose last two bytes have to be 0, and an
// attribute.
func generic(command, version byte, a *nl.RtAttr) []byte {
	return append([]byte{command, version, 0, 0}, a.Serialize()...)
}

// readFamily reads the answer.
func readFamily(reply []byte) (f family, err error) {
	attrs, err := nl.ParseRouteAttr(reply[min(nl.SizeofGenlmsg, len(reply)):])
	if err != nil {
		return f, err
	}
	f.groups = map[string]uint32{}
	for _, a := range attrs {
		switch {
		case a.Attr.Type == nl.GENL_CTRL_ATTR_FAMILY_ID && len(a.Value) == 2:
			f.id = binary.NativeEndian.Uint16(a.Value)
		case a.Attr.Type == nl.GENL_CTRL_ATTR_MCAST_GROUPS:
			if err := f.readGroups(a.Value); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// readGroups reads a list of multicast groups.
func (f *family) readGroups(list []byte) error {
	entries, err := nl.ParseRouteAttr(list)
	if err != nil {
		return err
	}
	for _, e := range entries {
		attrs, err := nl.ParseRouteAttr(e.Value)
		if err != nil {
			return err
		}
		var name string
		var id uint32
		for _, a := range attrs {
			switch {
			case a.Attr.Type == nl.GENL_CTRL_ATTR_MCAST_GRP_NAME:
				name = strings.TrimRight(string(a.Value), "\x00")
			case a.Attr.Type == nl.GENL_CTRL_ATTR_MCAST_GRP_ID && len(a.Value) == 4:
				id = binary.NativeEndian.Uint32(a.Value)
			}
		}
		f.groups[name] = id
	}
	return nil
}
