package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// random returns packets of interfaces below n; of a pcap file there is one.
func random(t *rapid.T, n int) (list []Packet) {
	for range rapid.IntRange(0, 20).Draw(t, "packets") {
		data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
		list = append(list, Packet{
			Time: time.Unix(rapid.Int64Range(0, 1<<32-1).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Data: data, Length: len(data) + rapid.IntRange(0, 3).Draw(t, "cut"), Interface: rapid.IntRange(0, n-1).Draw(t, "interface"),
			Comment: rapid.StringN(0, 20, 60).Draw(t, "comment"), Direction: Direction(rapid.IntRange(0, 2).Draw(t, "direction")),
		})
	}
	return list
}

// readAll reads a file to its end.
func readAll(file []byte) (list []Packet, r *Reader, err error) {
	if r, err = NewReader(bytes.NewReader(file)); err != nil {
		return nil, nil, err
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return list, r, nil
		}
		if err != nil {
			return list, r, err
		}
		p.Data = append([]byte{}, p.Data...)
		list = append(list, p)
	}
}

func write(t interface{ Fatal(...any) }, f Format, list []Packet) []byte {
	var out bytes.Buffer
	w, err := NewWriter(&out, f, "eth0", "eth1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := w.Write(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

var formats = []Format{{}, {Nano: true}, {NG: true}}

// TestRoundTrip: what is written is read again, with the time as the format has it.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, f := range formats {
			want := random(t, 2)
			file := write(t, f, want)
			if rapid.Bool().Draw(t, "zipped") {
				file = zip(file)
			}
			got, r, err := readAll(file)
			if err != nil || r.Format() != f {
				t.Fatalf("%+v: read as %+v, %v", f, r.Format(), err)
			}
			for i := range want {
				if !f.NG {
					want[i].Interface, want[i].Comment, want[i].Direction = 0, "", Unknown
				}
				if f == (Format{}) {
					want[i].Time = want[i].Time.Truncate(time.Microsecond)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v (-want +got):\n%s", f, diff)
			}
			if f.NG && (len(r.Interfaces()) != 2 || r.Interfaces()[1].Name != "eth1" || r.Interfaces()[1].LinkType != Ethernet) && len(want) > 0 {
				t.Fatalf("interfaces %+v", r.Interfaces())
			}
		}
	})
}

// TestWrittenBytes: what is written, byte for byte as the drafts have it.
func TestWrittenBytes(t *testing.T) {
	list := []Packet{{Time: time.Unix(0x65432100, 123_456_789), Data: []byte{1, 2, 3, 4, 5}, Length: 9, Interface: 1}}
	const record = "00214365" + "%s" + "05000000" + "09000000" + "0102030405"
	for f, want := range map[Format]string{
		{}:           "d4c3b2a1" + "0200" + "0400" + "00000000" + "00000000" + "00000400" + "01000000" + strings.Replace(record, "%s", "40e20100", 1),
		{Nano: true}: "4d3cb2a1" + "0200" + "0400" + "00000000" + "00000000" + "00000400" + "01000000" + strings.Replace(record, "%s", "15cd5b07", 1),
		{NG: true}: "0a0d0d0a" + "1c000000" + "4d3c2b1a" + "0100" + "0000" + "ffffffffffffffff" + "1c000000" +
			"01000000" + "28000000" + "0100" + "0000" + "00000400" + "0200" + "0400" + "65746830" + "0900" + "0100" + "09000000" + "00000000" + "28000000" +
			"01000000" + "28000000" + "0100" + "0000" + "00000400" + "0200" + "0400" + "65746831" + "0900" + "0100" + "09000000" + "00000000" + "28000000" +
			"06000000" + "28000000" + "01000000" + "%t" + "05000000" + "09000000" + "0102030405000000" + "28000000",
	} {
		ns := uint64(0x65432100)*1e9 + 123_456_789
		var stamp []byte
		stamp = binary.LittleEndian.AppendUint32(stamp, uint32(ns>>32))
		stamp = binary.LittleEndian.AppendUint32(stamp, uint32(ns))
		want = strings.Replace(want, "%t", hex.EncodeToString(stamp), 1)
		if got := hex.EncodeToString(write(t, f, list)); got != want {
			t.Errorf("%+v:\n got %s\nwant %s", f, got, want)
		}
	}
}

// bigEndian builds files of the other byte order by hand.
type bigEndian struct{ b []byte }

func (f *bigEndian) words(list ...uint32) *bigEndian {
	for _, v := range list {
		f.b = binary.BigEndian.AppendUint32(f.b, v)
	}
	return f
}

func (f *bigEndian) raw(b ...byte) *bigEndian {
	f.b = append(f.b, b...)
	return f
}

func TestOtherOrder(t *testing.T) {
	pcap := new(bigEndian).words(magicNano, 2<<16|4, 0, 0, 65535, Ethernet, 7, 8, 3, 4).raw(1, 2, 3)
	ng := new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, ^uint32(0), ^uint32(0), 28).
		words(blockInterface, 44, Ethernet<<16, 2). // a snapshot length of 2
		words(optionResolution<<16|1).raw(0x80|10, 0, 0, 0).
		words(optionOffset<<16|8, 0, 100, 0, 44).
		words(blockEnhanced, 36, 0, 0, 3*1024+512, 2, 9).raw(5, 6, 0, 0).words(36).
		words(99, 16, 0, 16). // of an unknown kind
		words(blockSimple, 20, 3).raw(7, 8, 0, 0).words(20).
		words(blockObsolete, 36, 0<<16|1, 0, 4*1024, 1, 1).raw(9, 0, 0, 0).words(36)
	for name, test := range map[string]struct {
		file []byte
		want []Packet
	}{
		"pcap": {pcap.b, []Packet{{time.Unix(7, 8).UTC(), []byte{1, 2, 3}, 4, 0, "", 0}}},
		"pcapng": {ng.b, []Packet{
			{time.Unix(103, 5e8).UTC(), []byte{5, 6}, 9, 0, "", 0},
			{time.Unix(103, 5e8).UTC(), []byte{7, 8}, 3, 0, "", 0},
			{time.Unix(104, 0).UTC(), []byte{9}, 1, 0, "", 0},
		}},
		// A second section's interfaces are others.
		"two sections": {append(bytes.Clone(ng.b[:28+44+36]), write(t, Format{NG: true}, []Packet{{Time: time.Unix(1, 0), Interface: 1}})...), []Packet{
			{time.Unix(103, 5e8).UTC(), []byte{5, 6}, 9, 0, "", 0},
			{time.Unix(1, 0).UTC(), []byte{}, 0, 2, "", 0},
		}},
	} {
		got, r, err := readAll(test.file)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		} else if r.Interfaces()[0].LinkType != Ethernet {
			t.Errorf("%s: link type %d", name, r.Interfaces()[0].LinkType)
		}
	}
}

func TestResolution(t *testing.T) {
	for code, want := range map[byte]uint64{0: 1, 3: 1000, 9: 1e9, 19: 1e19, 20: 0, 0x7f: 0, 0x80: 1, 0x8a: 1024, 0xbf: 1 << 63, 0xc0: 0} {
		units, ok := resolution(code)
		if ok != (want != 0) || ok && units != want {
			t.Errorf("%#x: %d, %v; want %d", code, units, ok, want)
		}
		if ok { // whatever the stamp, it is some time
			i := Interface{units: units}
			i.time(^uint64(0))
			if at, fine := i.time(units); !fine || at.Unix() != 1 {
				t.Errorf("%#x: a second is %v", code, at)
			}
		}
	}
}

// TestDamaged: every way of being cut short, or of having a length that lies.
func TestDamaged(t *testing.T) {
	packets := []Packet{{Time: time.Unix(1, 0), Data: []byte{1, 2, 3}, Length: 3}, {Time: time.Unix(2, 0), Data: []byte{4}, Length: 1}}
	for _, f := range formats {
		file := write(t, f, packets)
		whole := 0
		for n := range len(file) {
			list, _, err := readAll(file[:n])
			if len(list) > 2 || err == nil && len(list) == 2 {
				t.Errorf("%+v: %d packets of a file cut to %d bytes of %d", f, len(list), n, len(file))
			}
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("%+v: cut to %d bytes: %v", f, n, err)
			} else if err == nil {
				whole++
			}
		}
		if whole < 1 || whole > 5 { // between packets, and, of pcapng, blocks
			t.Errorf("%+v: %d places at which a file may end", f, whole)
		}
	}
	for name, test := range map[string]struct{ file, want string }{
		"empty":             {"", "it has 0 bytes"},
		"text":              {strings.Repeat("hello", 9), "it begins with 68656c6c"},
		"no zip":            {"\x1f\x8b" + strings.Repeat("x", 40), "gzip"},
		"version 9":         {"\xd4\xc3\xb2\xa1\x09" + strings.Repeat("\x00", 19), "version 9"},
		"large packet":      {string(new(bigEndian).words(magicMicro, 2<<16, 0, 0, 0, 1, 0, 0, 1<<30, 1<<30).b), "1073741824 bytes"},
		"order":             {string(new(bigEndian).words(magicSection, 28, 5, 0, 0, 0, 28).b), "byte order 00000005"},
		"block of nothing":  {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 6, 4, 0, 0).b), "block of 4 bytes"},
		"large block":       {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 6, maxBlock+4, 0).b), "want 524288"},
		"no interface":      {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 6, 32, 0, 0, 0, 0, 0, 32).b), "interface 0, of 0"},
		"short interface":   {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 1, 16, 0, 16).b), "an interface in 4 bytes"},
		"long option":       {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 1, 24, 0, 0, 9<<16|200, 24).b), "an option of 200 bytes"},
		"resolution":        {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 1, 28, 0, 0, 9<<16|1, 0xff<<24, 28).b), "resolution 0xff"},
		"short packet":      {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 6, 16, 0, 16).b), "packet block of 4 bytes"},
		"version 2":         {string(new(bigEndian).words(magicSection, 28, magicOrder, 2<<16, 0, 0, 28).b), "version 2"},
		"two lengths":       {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 1, 20, 1<<16, 0, 24).b), "ends as one of 24"},
		"year 10000":        {ngAt(0, lastSecond+1), "year 9999"},
		"year 1969":         {ngAt(^uint64(0), 0), "before 1970"},
		"far offset":        {ngAt(1<<63-1, 1<<63), "year 9999"},
		"interfaces":        {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28).b) + strings.Repeat(string(new(bigEndian).words(1, 20, 1<<16, 0, 20).b), maxInterfaces+1), "16384 interfaces"},
		"a zip's checksum":  {spoilt(zip(write(t, Format{}, packets))), "damaged: gzip"},
		"longer than block": {string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28, 1, 20, 1<<16, 0, 20, 6, 32, 0, 0, 0, 1, 1, 32).b), "1 bytes in a block"},
	} {
		_, _, err := readAll([]byte(test.file))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// ngAt is a file with a packet at so many seconds, of an interface with an offset.
func ngAt(offset, seconds uint64) string {
	return string(new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28).
		words(blockInterface, 44, Ethernet<<16, 0).words(optionResolution<<16|1).raw(0, 0, 0, 0).
		words(optionOffset<<16|8, uint32(offset>>32), uint32(offset), 0, 44).
		words(blockEnhanced, 32, 0, uint32(seconds>>32), uint32(seconds), 0, 0, 32).b)
}

// spoilt is a zipped file with another checksum.
func spoilt(zipped []byte) string {
	zipped[len(zipped)-8] ^= 1
	return string(zipped)
}

// TestLongNames: of a name as long as an option can be only the beginning is kept.
func TestLongNames(t *testing.T) {
	file := new(bigEndian).words(magicSection, 28, magicOrder, 1<<16, 0, 0, 28).words(blockInterface, 20+4+40_000, Ethernet<<16, 0).
		words(optionName<<16 | 40_000).raw(bytes.Repeat([]byte("x"), 40_000)...).words(20 + 4 + 40_000)
	_, r, err := readAll(file.b)
	if err != nil || len(r.Interfaces()) != 1 || len(r.Interfaces()[0].Name) != maxName {
		t.Errorf("%v, %d interfaces", err, len(r.Interfaces()))
	}
}

// TestNoSuchTime: what a format can't say is not written as another time.
func TestNoSuchTime(t *testing.T) {
	for _, f := range formats {
		last := int64(1<<32 - 1)
		if f.NG {
			last = 18446744072
		}
		for at, fine := range map[int64]bool{-1: false, 0: true, last: true, last + 1: false} {
			want := time.Unix(at, 999_000_000).UTC()
			var out bytes.Buffer
			w, err := NewWriter(&out, f, "eth0")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write(&Packet{Time: want}); errors.Is(err, ErrTime) == fine || err != nil && fine {
				t.Errorf("%+v: %v: %v", f, want, err)
			} else if fine {
				_ = w.Flush()
				if got, _, err := readAll(out.Bytes()); err != nil || len(got) != 1 || !got[0].Time.Equal(want) {
					t.Errorf("%+v: %v is read as %+v, %v", f, want, got, err)
				}
			}
		}
	}
}

// TestStatistics: a file that says more in its course and at its end is read as one without.
func TestStatistics(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, Format{NG: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"eth0", "eth1"} {
		n, err := w.AddInterface(name, "as received")
		if n != i || err != nil {
			t.Fatalf("interface %d, %v; want %d", n, err, i)
		}
		at := time.Unix(100, 0).UTC()
		if err := errors.Join(w.WriteStatistics(&Statistics{Interface: n, Time: at, Taken: 7, Dropped: 1 << 40, Comment: "so far"}),
			w.Write(&Packet{Time: at, Data: []byte{1}, Length: 1, Interface: n, Comment: "dropped: no-backend", Direction: Outbound})); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	list, r, err := readAll(out.Bytes())
	if err != nil || len(list) != 2 || list[1].Comment != "dropped: no-backend" || list[1].Direction != Outbound || r.Interfaces()[1].Name != "eth1" {
		t.Fatalf("%+v, %v", list, err)
	}
	stats := "05000000" + "4c000000" + "00000000" + "%t" + "0100" + "0600" + "736f20666172" + "0000" + "0300" + "0800" + "%t" +
		"0400" + "0800" + "0700000000000000" + "0500" + "0800" + "0000000000010000" + "00000000" + "4c000000"
	if got := hex.EncodeToString(out.Bytes()); !strings.Contains(got, strings.ReplaceAll(stats, "%t", "17000000"+"00e87648")) {
		t.Errorf("the statistics are not in\n%s", got)
	}
}

// TestWriteErrors: the first error of a full disk is told.
func TestWriteErrors(t *testing.T) {
	w, err := NewWriter(full{}, Format{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Packet{Time: time.Unix(1, 0), Data: make([]byte, MaxLength)}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Flush(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Flush: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// FuzzReader: any bytes are a file, and give packets within bounds or an error.
func FuzzReader(f *testing.F) {
	for _, format := range formats {
		f.Add(write(f, format, []Packet{{Time: time.Unix(1, 0), Data: []byte{1, 2, 3}, Length: 3}}))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		list, r, _ := readAll(file)
		for _, p := range list {
			if p.Length < len(p.Data) || len(p.Data) > len(file)*1100 || p.Interface >= len(r.Interfaces()) {
				t.Errorf("a packet of %d bytes, %d captured, of interface %d", p.Length, len(p.Data), p.Interface)
			}
		}
	})
}
