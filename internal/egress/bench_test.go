package egress

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// cpu returns the processor time that this process has taken.
func cpu(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWatch takes a second an iteration (-benchtime 10x) and tells what share of a
// core a watcher costs: alone, beside 500 changes a second of routes that concern
// nobody, and beside as many that concern one of the addresses.
func BenchmarkWatch(b *testing.B) {
	testutil.RequireRoot(b)
	for _, wanted := range []int{40, 1000} {
		for name, prefix := range map[string]string{"idle": "", "unrelated": "203.0.113.0/24", "related": "10.9.0.1/32"} {
			b.Run(fmt.Sprintf("%s/%d", name, wanted), func(b *testing.B) { benchmarkWatch(b, wanted, prefix) })
		}
	}
}

func benchmarkWatch(b *testing.B, wanted int, prefix string) {
	l, err := lab.New(lab.Options{Backends: 2})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var w *Watcher
	err = l.Balancer.Do(func() (err error) {
		link, err := netlink.LinkByName(lab.Interface)
		if err != nil {
			return err
		}
		behind := &net.IPNet{IP: net.IPv4(10, 9, 0, 0), Mask: net.CIDRMask(16, 32)}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: behind, Gw: lab.BackendAddr(1).AsSlice()}); err != nil {
			return err
		}
		w, err = New([]string{lab.Interface}, nil, zap.NewNop(), func() {})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	addrs := []netip.Addr{lab.BackendAddr(0)}
	for a := netip.MustParseAddr("10.9.0.1"); len(addrs) < wanted; a = a.Next() {
		addrs = append(addrs, a)
	}
	w.Set(addrs)
	if prefix != "" {
		startFlood(b, l.Balancer, prefix)
	}
	second := time.Second
	if testing.Short() { // only that it runs
		second /= 20
	}
	time.Sleep(2 * second)
	start, used := time.Now(), cpu(b)
	for b.Loop() {
		time.Sleep(second)
	}
	b.ReportMetric(100*float64(cpu(b)-used)/float64(time.Since(start)), "%core")
	b.ReportMetric(0, "ns/op")
}
