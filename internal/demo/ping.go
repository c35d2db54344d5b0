package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// pings sends two echo requests to a service's address, which the balancer answers itself.
// The large one comes in fragments.
func (d *demo) pings(ctx context.Context) error {
	vip := roundRobin.vip.Addr()
	c, err := d.lab.Clients[0].Dial(ctx, "ip4:icmp", vip.String())
	if err != nil {
		return fmt.Errorf("open a socket for pings: %w", err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(requestTimeout))
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()

	wrong := ""
	for i, size := range []int{56, 2000} {
		request := echoRequest(uint16(i), size)
		if _, err := c.Write(request); err != nil {
			return fmt.Errorf("ping %v: %w", vip, err)
		}
		if err := readEcho(c.(*net.IPConn), request); err != nil {
			wrong = fmt.Sprintf("expected an answer to %d bytes; saw %v", size, err)
		}
	}
	d.check(fmt.Sprintf("pings of %v are answered, by afxlb itself", vip), wrong)
	return nil
}

// echoRequest returns an ICMP echo request with n bytes of data (RFC 792).
func echoRequest(sequence uint16, n int) []byte {
	b := make([]byte, 8, 8+n)
	b[0] = 8
	binary.BigEndian.PutUint16(b[4:], 0xaf1b)
	binary.BigEndian.PutUint16(b[6:], sequence)
	b = append(b, bytes.Repeat([]byte("afxlb "), n)[:n]...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// checksum returns the Internet checksum of RFC 1071.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// readEcho waits for the answer to an echo request.
func readEcho(c *net.IPConn, request []byte) error {
	b := make([]byte, 4096)
	for {
		n, _, err := c.ReadFrom(b) // without the IP header
		if err != nil {
			return err
		}
		if n == len(request) && b[0] == 0 && bytes.Equal(b[4:n], request[4:]) {
			return nil
		}
	}
}
