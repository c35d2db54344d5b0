package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// tickPort is where b0 talks, by TCP and UDP, to whoever has knocked once.
const tickPort = 9100

// listenTicks has b0 talk to its clients until they are gone or the test ends: a few bytes
// at a time, whether or not anything comes back.
func (w *world) listenTicks() {
	w.t.Helper()
	h := w.lab.Backends[0]
	tick := func(write func() error) {
		for !errors.Is(write(), net.ErrClosed) { // a client that is away for a moment is no reason to end
			time.Sleep(poll)
		}
	}
	err := h.ServeTCP(fmt.Sprint(":", tickPort), func(c net.Conn) {
		tick(func() error {
			if err := c.SetWriteDeadline(time.Now().Add(poll)); err != nil {
				return err
			}
			_, err := c.Write([]byte("tick"))
			return err
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := h.ListenPacket("udp", fmt.Sprint(":", tickPort))
	if err != nil {
		w.t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		b := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			all.Go(func() {
				tick(func() error {
					_, err := u.WriteTo([]byte("tick"), from)
					return err
				})
			})
		}
	})
	w.t.Cleanup(func() {
		u.Close()
		all.Wait()
	})
}

// tickServices are the services of b0's talk, of both protocols and families.
func tickServices() (text string) {
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		for _, protocol := range []string{"tcp", "udp"} {
			text += entry(fmt.Sprint(protocol, "-", vip), vip, tickPort, fmt.Sprintf("protocol: %s, health: {type: none},", protocol), backendsOf(vip)[0])
		}
	}
	return text
}

// hearer is a client that only listens.
type hearer struct {
	net.Conn
	what  string
	heard atomic.Int64 // bytes
}

// hear has a client knock at the services of b0's talk that have these protocols, and
// listen from then on.
func (w *world) hear(h *lab.Host, protocols ...string) (list []*hearer) {
	w.t.Helper()
	for _, protocol := range protocols {
		for _, vip := range []netip.Addr{natVIP4, natVIP6} {
			ctx, cancel := context.WithTimeout(w.t.Context(), patience)
			c, err := h.Dial(ctx, protocol, netip.AddrPortFrom(vip, tickPort).String())
			cancel()
			if err == nil && protocol == "udp" {
				_, err = c.Write([]byte("knock"))
			}
			if err != nil {
				w.t.Fatal(err)
			}
			one := &hearer{Conn: c, what: protocol + " to " + vip.String()}
			list = append(list, one)
			var ended sync.WaitGroup
			ended.Go(func() {
				for b := make([]byte, 1000); ; {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					one.heard.Add(int64(n))
				}
			})
			w.t.Cleanup(func() {
				c.Close()
				ended.Wait()
			})
		}
	}
	return list
}

// mustHear waits until every listener has heard ten ticks more.
func (w *world) mustHear(when string, list []*hearer) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	before := make([]int64, len(list))
	for i, one := range list {
		before[i] = one.heard.Load()
	}
	for i, one := range list {
		for one.heard.Load() < before[i]+10*int64(len("tick")) {
			if time.Now().After(deadline) {
				w.t.Fatalf("%s: %s hears nothing", when, one.what)
			}
			time.Sleep(poll)
		}
	}
}
