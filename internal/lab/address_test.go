package lab

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

// It is tried again and again, without anything that announces a change.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, start := 0, time.Now()
		err := poll(time.Second, func() error {
			if tries++; tries < 8 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || tries != 8 || time.Since(start) != 7*time.Millisecond {
			t.Errorf("%d tries in %v: %v", tries, time.Since(start), err)
		}
	})
}

func TestPollTellsTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, last := 0, errors.New("the last one")
		err := poll(10*time.Millisecond, func() error {
			if tries++; tries < 11 {
				return errors.New("an early one")
			}
			return last
		})
		if !errors.Is(err, last) || tries != 11 || !strings.Contains(err.Error(), "10ms") {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
}

func TestAddAndDelAddrs(t *testing.T) {
	l := newLab(t, Options{})
	own4, own6 := netip.MustParsePrefix("10.0.0.9/24"), netip.MustParsePrefix("2001:db8:10::9/64")
	if err := l.Balancer.AddAddrs(Interface, own4, own6); err != nil {
		t.Fatal(err)
	}
	for _, p := range []netip.Prefix{own4, own6} {
		if err := l.Balancer.UDPEcho(netip.AddrPortFrom(p.Addr(), 7).String(), "b"); err != nil {
			t.Fatal(err)
		}
		ask(t, l.Backends[0], netip.AddrPortFrom(p.Addr(), 7), "1", "b 1")
		if err := l.Balancer.DelAddrs(Interface, p); err != nil {
			t.Fatal(err)
		}
		if found, err := l.Balancer.Netlink().RouteGet(p.Addr().AsSlice()); err == nil && found[0].Type == unix.RTN_LOCAL {
			t.Errorf("%v is still the balancer's: %v", p, found)
		}
		if err := l.Balancer.DelAddrs(Interface, p); err == nil || !strings.Contains(err.Error(), p.String()) {
			t.Errorf("taken twice: %v", err)
		}
	}
	if err := l.Balancer.AddAddrs("eth9", own4); err == nil {
		t.Error("no error for an interface that there is not")
	}
}

// The set-up holds while the kernel is busy with namespaces that come and go: its work
// queue of IPv6 addresses is one for all. Run it with -count for more.
func TestSetUpBesideOthers(t *testing.T) {
	testutil.RequireRoot(t)
	stop := make(chan struct{})
	var loops sync.WaitGroup
	for range 2 {
		loops.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				h, err := NewHost("passing")
				if err == nil {
					err = h.Close()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		l, err := New(Options{})
		if err != nil {
			t.Error(err)
			break
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	loops.Wait()
}
