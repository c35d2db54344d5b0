package bpf

import (
	"net/netip"
	"testing"
)

// BenchmarkSteer gives the program's own time per packet on each way through it,
// the kernel's entry to a test run (some 5 ns) included.
func BenchmarkSteer(b *testing.B) {
	s := testSteering()
	s.Services = append(s.Services, Service{ip(own4), TCP, 50000, 50999})
	p := loadWithSocket(b, s)
	addLoopback(b, ip(own4), ip(client4))
	openOwn(b, ownSocket{TCP, netip.AddrPortFrom(ip(own4), 50000), netip.AddrPortFrom(ip(client4), 443)})
	for _, c := range []struct {
		name   string
		packet []byte
	}{
		{"not-ip", append([]byte{0x50}, tcp(client4, inside4, 1, 1)[1:]...)},
		{"to-this-machine", tcp(client4, inside4, 40000, 22)},
		{"to-others", tcp(client4, other4, 40000, 22)},
		{"service-port", tcp(client4, vip4, 40000, 80)},
		{"service-range", tcp(client4, vip4, 40000, 8099)},
		{"service-any", tcp(client4, any4, 40000, 1)},
		{"reply", tcp(backend4, client4, 8080, 40000)},
		{"own-range", tcp(client4, own4, 443, 50001)},
		{"own-connection", tcp(client4, own4, 443, 50000)},
		{"service-port-6", tcp(client6, vip6, 40000, 80)},
		{"service-chain-6", extended(tcp(client6, vip6, 40000, 80), header{hopByHop, 0}, header{destination, 0})},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, took, err := p.objects.Steer.Benchmark(frame(c.packet), b.N, b.ResetTimer)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(took.Nanoseconds()), "ns/packet")
		})
	}
}
