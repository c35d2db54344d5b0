package bpf

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
)

// macWord is a MAC address as the program reads it: six bytes, the first one lowest.
type macWord uint64

type macSet map[macWord]struct{}

// station is whom the frames on one interface have to be for.
type station struct {
	macs   macSet
	ownMAC macWord // 0: frames are not judged by their MAC address
}

func newStation() station { return station{macs: macSet{}} }

// at returns what goes for the interface with the number.
func (s *state) at(port int) station {
	switch {
	case port == 0:
		return s.station
	case port <= len(s.further):
		return s.further[port-1]
	}
	return station{}
}

func (s *station) addMACs(macs [][6]byte) error {
	for _, m := range macs {
		if err := s.addMAC(m); err != nil {
			return err
		}
	}
	return nil
}

// addMAC adds one of the machine's MAC addresses; the first is the interface's own.
func (s *station) addMAC(m [6]byte) error {
	if m == [6]byte{} || m[0]&1 != 0 {
		return fmt.Errorf("own MAC address %s: it is no machine's", net.HardwareAddr(m[:]))
	}
	word := macWord(binary.LittleEndian.Uint32(m[:])) | macWord(binary.LittleEndian.Uint16(m[4:]))<<32
	if len(s.macs) == 0 {
		s.ownMAC = word
	}
	s.macs[word] = struct{}{}
	return nil
}

// String returns the MAC address as people write it.
func (m macWord) String() string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(m))
	return net.HardwareAddr(b[:6]).String()
}

// setMACs writes whom frames have to be for. While they are not judged, the map may
// hold anything.
func (t *steering) setMACs(want station) error {
	for m := range want.macs {
		if _, ok := t.have.macs[m]; ok {
			continue
		}
		if err := t.macs.Update(m, uint8(1), ebpf.UpdateAny); err != nil {
			return fmt.Errorf("add the MAC address %s: %w", m, err)
		}
		t.have.macs[m] = struct{}{}
	}
	if want.ownMAC != t.have.ownMAC {
		if err := t.setOwnMAC(want.ownMAC); err != nil {
			return fmt.Errorf("set the own MAC address %s: %w", want.ownMAC, err)
		}
		t.have.ownMAC = want.ownMAC
	}
	for m := range t.have.macs {
		if _, ok := want.macs[m]; ok {
			continue
		}
		if err := remove(t.macs, m); err != nil {
			return fmt.Errorf("remove the MAC address %s: %w", m, err)
		}
		delete(t.have.macs, m)
	}
	return nil
}
