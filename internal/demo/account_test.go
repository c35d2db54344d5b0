package demo

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/api"
)

func counterList(received, forwarded, dropped, steered, full uint64) []api.Counter {
	return []api.Counter{
		{Group: "packets", Name: "received", Value: received},
		{Group: "packets", Name: "forwarded", Value: forwarded},
		{Group: "packets", Name: "no-flow", Value: dropped},
		{Group: "steering", Name: "passed", Value: 99},
		{Group: "steering", Name: "steered-service", Value: steered},
		{Group: "steering", Name: "dropped-no-socket", Value: 98},
		{Group: "kernel", Name: "rx-ring-full", Value: full},
		{Group: "kernel", Name: "fill-ring-empty", Value: 97},
		{Group: "flows", Name: "inserted", Value: 96},
	}
}

func TestUnbalanced(t *testing.T) {
	for _, c := range []struct {
		list []api.Counter
		want string
	}{
		{counterList(10, 8, 2, 10, 0), ""},
		{counterList(10, 8, 2, 15, 5), ""},
		{counterList(0, 0, 0, 0, 0), "expected packets; saw none"},
		{nil, "expected packets; saw none"},
		{counterList(10, 8, 1, 10, 0), "expected verdicts on 10 packets; saw 9"},
		{counterList(10, 9, 2, 10, 0), "expected verdicts on 10 packets; saw 11"},
		{counterList(10, 8, 2, 12, 1), "expected 12 steered packets to arrive; 10 were received and 1 lost at the rings"},
	} {
		if got := unbalanced(c.list); got != c.want {
			t.Errorf("%v: %q, want %q", c.list, got, c.want)
		}
	}
}

func TestMissing(t *testing.T) {
	list := counterList(10, 8, 2, 10, 0)
	for _, c := range []struct {
		name  string
		value uint64
		want  string
	}{
		{"forwarded", 8, ""},
		{"forwarded", 9, "expected 9 packets forwarded; saw 8"},
		{"steered-service", 10, "expected a counter steered-service; saw none"},
	} {
		if got := missing(list, c.name, c.value); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDiffer(t *testing.T) {
	held := func() []known { return []known{{"198.51.100.2:2", "b"}, {"198.51.100.1:1", "a"}} }
	for _, c := range []struct {
		name string
		list []api.Flow
		same bool
	}{
		{"in any order", []api.Flow{{Client: "198.51.100.1:1", Backend: "a"}, {Client: "198.51.100.2:2", Backend: "b"}}, true},
		{"another backend", []api.Flow{{Client: "198.51.100.1:1", Backend: "b"}, {Client: "198.51.100.2:2", Backend: "b"}}, false},
		{"one less", []api.Flow{{Client: "198.51.100.1:1", Backend: "a"}}, false},
		{"one more", []api.Flow{{Client: "198.51.100.1:1", Backend: "a"}, {Client: "198.51.100.2:2", Backend: "b"}, {Client: "198.51.100.2:3", Backend: "b"}}, false},
	} {
		if got := differ(c.list, held()); (got == "") != c.same {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestEchoRequest(t *testing.T) {
	for _, n := range []int{0, 1, 56, 2000} {
		b := echoRequest(7, n)
		var icmp layers.ICMPv4
		if err := icmp.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			t.Fatal(err)
		}
		if icmp.TypeCode.Type() != layers.ICMPv4TypeEchoRequest || icmp.Seq != 7 || len(icmp.Payload) != n {
			t.Errorf("%d bytes: %v, sequence %d, %d bytes", n, icmp.TypeCode, icmp.Seq, len(icmp.Payload))
		}
		again := gopacket.NewSerializeBuffer()
		sum := icmp.Checksum
		if err := gopacket.SerializeLayers(again, gopacket.SerializeOptions{ComputeChecksums: true}, &icmp, gopacket.Payload(icmp.Payload)); err != nil {
			t.Fatal(err)
		}
		if icmp.Checksum != sum {
			t.Errorf("%d bytes: checksum %#x, want %#x", n, sum, icmp.Checksum)
		}
	}
}
