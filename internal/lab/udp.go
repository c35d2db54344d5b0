package lab

import "fmt"

// UDPEcho starts a server that answers each datagram to address with its name, a
// space and the datagram.
func (h *Host) UDPEcho(address, name string) error {
	c, err := h.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("start UDP server %s: %w", name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			_, _ = c.WriteTo(append([]byte(name+" "), buf[:n]...), from)
		}
	}()
	h.onClose(func() error {
		err := c.Close()
		<-ended
		return err
	})
	return nil
}
