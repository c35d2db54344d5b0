package capture

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

// TestRelay: wherever the sender ends, what is there is a file of whole packets.
func TestRelay(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Format{NG: true}, "eth0:in", "eth0:out")
	for i := range 6 {
		err = errors.Join(err, w.Write(&Packet{Time: time.Unix(1, 0), Data: bytes.Repeat([]byte{1}, 3000*i), Length: 3000 * i, Interface: i % 2, Comment: "forwarded"}))
	}
	for _, n := range []uint64{3, 5} {
		err = errors.Join(err, w.WriteStatistics(&Statistics{Time: time.Unix(2, 0), Taken: 6, Dropped: n, Comment: "lost"}))
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	for n := 400; n < file.Len(); n += 89 { // how much room a disk has
		disk := &small{room: n}
		sum, err := Relay(disk, bytes.NewReader(file.Bytes()))
		if !errors.Is(err, io.ErrShortWrite) || sum.Bytes > int64(n) {
			t.Fatalf("room for %d bytes: %d of whole blocks, %v", n, sum.Bytes, err)
		}
		list, _, err := readAll(disk.Bytes()[:sum.Bytes])
		if err != nil || uint64(len(list)) != sum.Packets[0]+sum.Packets[1] {
			t.Fatalf("room for %d bytes: %d packets, told as %v: %v", n, len(list), sum, err)
		}
	}
	for n := range file.Len() + 1 {
		if n > 400 && n%97 != 0 && n != file.Len() {
			continue
		}
		var out bytes.Buffer
		sum, err := Relay(&out, bytes.NewReader(file.Bytes()[:n]))
		whole := out.Len() == n
		if whole == errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut to %d bytes: %v, and %d bytes of it are there", n, err, out.Len())
		}
		if out.Len() < 24 {
			continue
		}
		list, _, err := readAll(out.Bytes())
		if err != nil || uint64(len(list)) != sum.Packets[0]+sum.Packets[1] {
			t.Fatalf("cut to %d bytes: %d packets, told as %v: %v", n, len(list), sum, err)
		}
		if n == file.Len() && (sum.Packets[1] != 3 || sum.Dropped != 5) {
			t.Errorf("all of it: %+v", sum)
		}
	}
	if _, err := Relay(io.Discard, bytes.NewReader(make([]byte, 100))); !errors.Is(err, ErrDamaged) {
		t.Errorf("no such file: %v", err)
	}
	if _, err := Relay(full{}, &file); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a full disk: %v", err)
	}
}

// small is a disk that is full after some bytes.
type small struct {
	bytes.Buffer
	room int
}

func (s *small) Write(b []byte) (int, error) {
	n, _ := s.Buffer.Write(b[:min(len(b), s.room-s.Len())])
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
