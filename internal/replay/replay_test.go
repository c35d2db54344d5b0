package replay

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

var update = flag.Bool("update", false, "write testdata anew, as the oracle says")

// file returns packets as a pcap file.
func file(t testing.TB, packets []capture.Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, capture.Format{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.Write(&packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// options returns those for a config and a capture, with room for a small table.
func options(t testing.TB, text string, in []byte) *Options {
	t.Helper()
	c, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.NewReader(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	return &Options{
		Spec: &c.Spec, Engine: engine.Config{MaxFlows: 10_000, Timeouts: conntrack.DefaultTimeouts()}, Ports: []string{"eth0"}, MTU: 1500, In: r,
	}
}

// replayed returns what is sent, as a pcap file, what is told of each packet, and the sum.
func replayed(t testing.TB, o *Options) ([]byte, []Record, Summary) {
	t.Helper()
	var out bytes.Buffer
	w, err := capture.NewWriter(&out, capture.Format{})
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	o.Out, o.Report = w, func(r *Record) error {
		copied := *r
		copied.Sent = append([]Sent(nil), r.Sent...)
		records = append(records, copied)
		return nil
	}
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), records, s
}

// TestGolden: a capture of each mode gives, byte for byte, what the oracle says. The files
// are in testdata, so that a change of either shows.
func TestGolden(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			script := s.script(40)
			in, want := file(t, script.in), file(t, script.out)
			for name, b := range map[string][]byte{s.name + ".yaml": []byte(s.config), s.name + ".pcap": in, s.name + ".out.pcap": want} {
				path := filepath.Join("testdata", name)
				if *update {
					if err := os.WriteFile(path, b, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, b) {
					t.Fatalf("%s is not what the oracle says (%v); -update writes it anew", path, err)
				}
			}
			got, _, _ := replayed(t, options(t, s.config, in))
			if !bytes.Equal(got, want) {
				t.Error(difference(t, want, got))
			}
		})
	}
}

// TestAgainstOracle is TestGolden with more clients than a file should have.
func TestAgainstOracle(t *testing.T) {
	for _, s := range scenes() {
		script := s.script(s.most)
		got, _, sum := replayed(t, options(t, s.config, file(t, script.in)))
		if want := file(t, script.out); !bytes.Equal(got, want) {
			t.Errorf("%s: %s", s.name, difference(t, want, got))
		}
		if sum.Packets != len(script.in) || sum.Sent != len(script.out) {
			t.Errorf("%s: %d packets, %d sent; want %d, %d", s.name, sum.Packets, sum.Sent, len(script.in), len(script.out))
		}
	}
}

// difference returns the first frame in which two files differ.
func difference(t testing.TB, want, got []byte) string {
	t.Helper()
	a, b := packetsOf(t, want), packetsOf(t, got)
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !bytes.Equal(a[i].Data, b[i].Data) || !a[i].Time.Equal(b[i].Time) {
			var x, y packettest.Frame
			if i < len(a) {
				x, _ = packettest.Decode(a[i].Data)
			}
			if i < len(b) {
				y, _ = packettest.Decode(b[i].Data)
			}
			return fmt.Sprintf("frame %d:\nwant %+v\n got %+v", i+1, x, y)
		}
	}
	return "the same frames"
}

func packetsOf(t testing.TB, file []byte) (list []capture.Packet) {
	t.Helper()
	r, err := capture.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := r.Next()
		if err != nil {
			return list
		}
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
}

// TestRepeatable: the same twice, to the byte, with all that may be left to chance.
func TestRepeatable(t *testing.T) {
	s := scenes()[0]
	in := file(t, s.script(500).in)
	text := strings.ReplaceAll(s.config, "mode: nat,", "mode: nat, algorithm: two-choices,")
	var first []byte
	for range 2 {
		o := options(t, text, in)
		o.Engine.MaxFlows = 100 // flows have to go
		out, records, _ := replayed(t, o)
		for i := range records {
			out = records[i].AppendJSON(out)
		}
		if first == nil {
			first = out
		} else if !bytes.Equal(first, out) {
			t.Error("another result the second time")
		}
	}
}

// BenchmarkReplay is a packet with all that is done for it.
func BenchmarkReplay(b *testing.B) {
	s := scenes()[0]
	in := file(b, s.script(500).in)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		o := options(b, s.config, in)
		sum, err := Run(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		n += sum.Packets
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}
