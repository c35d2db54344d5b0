package replay

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// twoBackends is a config with a service of two, of which nothing is said where they are.
const twoBackends = `
services:
  - {name: web, address: 192.0.2.10, port: 80, drain-time: 2s, on-down: reassign, backends: [{name: a, address: 10.0.0.11}, {name: b, address: 10.0.0.12}]}
  - {name: dns, address: 192.0.2.10, port: 53, protocol: udp, drain-time: 2s, health: {type: none}, backends: [{name: a, address: 10.0.0.11}, {name: c, address: 10.0.0.13}]}
`

var start = time.Unix(1_700_000_000, 0).UTC()

// at returns a frame that comes some time after the first.
func at(after time.Duration, f packettest.Frame) capture.Packet {
	b := f.Bytes()
	return capture.Packet{Time: start.Add(after), Data: b, Length: len(b)}
}

func syn(port string) packettest.Frame {
	return packettest.TCP("198.51.100.7:"+port, "192.0.2.10:80", packet.TCPSyn)
}

// verdicts returns, of each packet, its verdict or drop reason and its backend.
func verdicts(records []Record) (list []string) {
	for i := range records {
		r := &records[i]
		list = append(list, strings.TrimSuffix(strings.TrimPrefix(r.Verdict+"/"+r.Reason, "dropped/"), "/")+" "+r.Backend)
	}
	return list
}

// play replays packets with events, which are written as on the command line.
func play(t *testing.T, packets []capture.Packet, kind Kind, events ...string) ([]Record, Summary) {
	t.Helper()
	o := options(t, twoBackends, file(t, packets))
	for _, s := range events {
		e, err := ParseEvent(kind, s)
		if err != nil {
			t.Fatal(err)
		}
		o.Events = append(o.Events, e)
	}
	_, records, sum := replayed(t, o)
	return records, sum
}

// TestTime: flows are idle by the capture's time, which never goes back.
func TestTime(t *testing.T) {
	rst := syn("1")
	rst.Flags = packet.TCPRst
	for name, test := range map[string]struct {
		after time.Duration
		want  string
	}{
		"soon":              {5 * time.Second, "forwarded a"},
		"late":              {12 * time.Second, "no-flow "}, // tcp-syn is 10s, and an eighth
		"years later":       {3 * 365 * 24 * time.Hour, "no-flow "},
		"before the others": {-time.Hour, "forwarded a"},
	} {
		records, _ := play(t, []capture.Packet{at(0, syn("1")), at(test.after, rst)}, Down)
		if got := verdicts(records)[1]; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestLongPause: whatever time passes at once, nothing that was idle for so long is taken for
// fresh: the engine's clock begins anew after 49 days.
func TestLongPause(t *testing.T) {
	rst := syn("1")
	rst.Flags = packet.TCPRst
	for _, after := range []time.Duration{1 << 32 * time.Millisecond, (1<<32 + 500) * time.Millisecond, 200 * 365 * 24 * time.Hour} {
		p := at(0, rst)
		p.Time = start.Add(after)
		var file bytes.Buffer
		w, err := capture.NewWriter(&file, capture.Format{NG: true}, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range []capture.Packet{at(0, syn("1")), p} {
			if err := w.Write(&one); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Flush()
		_, records, _ := replayed(t, options(t, twoBackends, file.Bytes()))
		if got := verdicts(records); !slices.Equal(got, []string{"forwarded a", "no-flow "}) {
			t.Errorf("after %v: %q", after, got)
		}
	}
}

// TestWithoutFlow: what is forwarded and of no flow has a backend all the same.
func TestWithoutFlow(t *testing.T) {
	about := packettest.TCP("192.0.2.10:80", "198.51.100.7:4000", packet.TCPAck).Bytes()
	e := packettest.Echo("198.51.100.1", "192.0.2.10", 0)
	e.Type, e.Code, e.EchoSeq, e.Payload = 3, 4, 1300, about[14:]
	question := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", "?")
	for name, test := range map[string]struct {
		old, with string
		in        packettest.Frame
		service   string
	}{
		"an error, nat":       {"name: web,", "name: web, algorithm: maglev,", e, "web"},
		"an error, dsr":       {"name: web,", "name: web, algorithm: maglev, mode: dsr,", e, "web"},
		"a datagram for each": {"protocol: udp,", "protocol: udp, affinity: none, mode: dsr,", question, "dns"},
	} {
		text := strings.ReplaceAll(twoBackends, test.old, test.with)
		_, records, sum := replayed(t, options(t, text, file(t, []capture.Packet{at(0, test.in)})))
		r := &records[0]
		if r.Verdict != "forwarded" || r.Service != test.service || r.Backend == "" || r.Flow != "" || r.Direction != "request" || len(r.Sent) != 1 || sum.Sent != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestPassed: what is not the balancer's is left alone, and so are frames for others if it
// is known who it is.
func TestPassed(t *testing.T) {
	other := syn("1")
	other.DstMAC = packet.MAC{2, 0, 0, 0, 0, 0x55}
	group := syn("1")
	group.DstMAC = packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	arp := capture.Packet{Time: start, Data: append(bytes.Repeat([]byte{2}, 12), 8, 6), Length: 14}
	packets := []capture.Packet{at(0, syn("1")), at(0, other), at(0, group), arp, {Time: start}, at(0, packettest.TCP("198.51.100.7:1", "192.0.2.10:81", packet.TCPSyn))}
	records, sum := play(t, packets, Down)
	if got, want := verdicts(records), []string{"forwarded a", "forwarded a", "passed ", "passed ", "passed ", "passed "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if sum.Passed != 4 || sum.Packets != 6 || sum.Verdicts[packet.Forwarded] != 2 || sum.Sent != 2 || records[0].Sent[0].SourceMAC != packettest.BalancerMAC {
		t.Errorf("%+v", sum)
	}
	o := options(t, twoBackends, file(t, packets))
	o.MACs = []packet.MAC{{2, 0, 0, 0, 0, 0x55}, packettest.BalancerMAC}
	_, records, _ = replayed(t, o)
	if got := verdicts(records)[:2]; got[0] != "forwarded a" || got[1] != "forwarded a" || records[0].Sent[0].SourceMAC != o.MACs[0] {
		t.Errorf("%q by %v", got, records[0].Sent)
	}
	o = options(t, twoBackends, file(t, packets))
	o.MACs = []packet.MAC{{2, 0, 0, 0, 0, 0x55}}
	_, records, _ = replayed(t, o)
	if got := verdicts(records)[:2]; got[0] != "passed " || got[1] != "forwarded a" {
		t.Errorf("%q", got)
	}
}

// TestPunted: what a backend sends for reasons of its own goes back to the kernel.
func TestPunted(t *testing.T) {
	records, _ := play(t, []capture.Packet{at(0, packettest.TCP("10.0.0.11:80", "203.0.113.5:443", packet.TCPAck))}, Down)
	if got := verdicts(records); got[0] != "punted " || records[0].Steering != "steered-reply" || len(records[0].Sent) != 0 {
		t.Errorf("%q %+v", got, records[0])
	}
}

// TestMadeUp: without neighbours a backend has a MAC address made of its own.
func TestMadeUp(t *testing.T) {
	records, sum := play(t, []capture.Packet{at(0, syn("1"))}, Down)
	if got, want := records[0].Sent[0].DestinationMAC, (packet.MAC{2, 0, 10, 0, 0, 11}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12"), netip.MustParseAddr("10.0.0.13")}; !slices.Equal(sum.Guessed, want) {
		t.Errorf("guessed %v, want %v", sum.Guessed, want)
	}
}

// TestOtherPort: by an interface that is not served nobody is reached.
func TestOtherPort(t *testing.T) {
	o := options(t, "neighbours:\n  10.0.0.11: {mac: 02:00:00:00:00:0b, port: eth1}\n  10.0.0.12: {mac: 02:00:00:00:00:0c, port: eth0}\n"+twoBackends,
		file(t, []capture.Packet{at(0, syn("1")), at(0, syn("2"))}))
	_, records, sum := replayed(t, o)
	if got, want := verdicts(records), []string{"forwarded b", "forwarded b"}; !slices.Equal(got, want) || len(sum.Guessed) != 1 {
		t.Errorf("%q, want %q; guessed %v", got, want, sum.Guessed)
	}
}

// TestLinkTypes: of a capture on several interfaces only Ethernet is for the balancer. The others
// are counted, and the numbers stay as Wireshark has them.
func TestLinkTypes(t *testing.T) {
	var file bytes.Buffer
	w, err := capture.NewWriter(&file, capture.Format{NG: true}, "wg0", "eth0")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []capture.Packet{at(0, syn("1")), at(time.Second, syn("2")), at(2*time.Second, syn("3"))} {
		p.Interface = i % 2
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush()
	in := file.Bytes()
	in[28+8] = 101 // that of wg0
	o := options(t, twoBackends, in)
	o.Events = []Event{{Kind: Down, Backend: "web/a"}}
	_, records, sum := replayed(t, o)
	if sum.Packets != 3 || sum.Others != 2 || len(records) != 1 || records[0].Index != 2 || records[0].Interface != "eth0" || records[0].Backend != "b" {
		t.Errorf("%+v of %+v", records, sum)
	}
}

// TestCut: of a packet that was captured in part, the part is sent; an answer is whole.
func TestCut(t *testing.T) {
	f := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("x", 500))
	cut := at(0, f)
	cut.Data = cut.Data[:60]
	nobody := f
	nobody.Src = netip.MustParseAddrPort("198.51.100.7:1001")
	refused := at(time.Second, nobody)
	refused.Data = refused.Data[:60]
	o := options(t, twoBackends, file(t, []capture.Packet{cut, refused}))
	o.Events = []Event{{Kind: Down, Backend: "dns/a", After: time.Second / 2}, {Kind: Down, Backend: "dns/c", After: time.Second / 2}}
	out, records, sum := replayed(t, o)
	sent := packetsOf(t, out)
	if sum.Cut != 2 || len(sent) == 0 || len(sent[0].Data) != 60 || sent[0].Length != len(f.Bytes()) || records[0].Sent[0].Length != sent[0].Length {
		t.Fatalf("%+v, sent %+v", sum, sent)
	}
	whole, err := packettest.Decode(append(sent[0].Data, bytes.Repeat([]byte("x"), sent[0].Length-60)...))
	if err != nil || whole.Dst != netip.MustParseAddrPort("10.0.0.11:53") { // its checksum is that of the whole
		t.Errorf("%+v, %v", whole, err)
	}
}

// TestTooLong: what fits into no frame is lost, and nothing else with it.
func TestTooLong(t *testing.T) {
	long := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("x", 9000))
	most := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("x", MaxPacket-14-20-8))
	more := packettest.UDP("198.51.100.7:1000", "192.0.2.10:53", strings.Repeat("x", MaxPacket-14-20-7))
	o := options(t, twoBackends, file(t, []capture.Packet{at(0, long), at(0, syn("1")), at(0, more), at(0, most)}))
	o.MTU = 0
	_, records, sum := replayed(t, o)
	if got, want := verdicts(records), []string{"too-big ", "forwarded a", "too-big ", "forwarded a"}; !slices.Equal(got, want) || sum.TooLong != 2 {
		t.Errorf("%q, %d too long, want %q", got, sum.TooLong, want)
	}
}

func TestErrors(t *testing.T) {
	one := file(t, []capture.Packet{at(0, syn("1"))})
	raw := bytes.Clone(one)
	raw[20] = 101
	for name, test := range map[string]struct {
		in    []byte
		event Event
		want  string
	}{
		"no such backend": {one, Event{Backend: "web/z"}, `no backend is called "web/z"; there are ["web/a" "web/b" "dns/a" "dns/c"]`},
		"link type":       {raw, Event{Backend: "a"}, "the capture has no Ethernet frames: the link type is 101; want Ethernet (1)"},
		"cut short":       {one[:len(one)-1], Event{Backend: "a"}, "packet 1: the capture file is damaged: it ends in the middle"},
	} {
		o := options(t, twoBackends, test.in)
		o.Events = []Event{test.event}
		if _, err := Run(t.Context(), o); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	told := errors.New("full")
	o := options(t, twoBackends, one)
	o.Report = func(*Record) error { return told }
	if _, err := Run(t.Context(), o); !errors.Is(err, told) {
		t.Errorf("an error of Report: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o = options(t, twoBackends, file(t, []capture.Packet{at(0, syn("1")), at(0, syn("2"))}))
	o.Report = func(*Record) error { cancel(); return nil }
	if sum, err := Run(ctx, o); !errors.Is(err, context.Canceled) || sum.Packets != 1 {
		t.Errorf("told to end: %v after %d packets", err, sum.Packets)
	}
}
