//go:build vm

package vmlab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// traffic asks each service n times: TCP, a connection for each request, and UDP. All
// must be answered, by all backends.
func (w *world) traffic(t *testing.T, n int) {
	t.Helper()
	start := time.Now()
	defer func() {
		t.Logf("%d questions to each service: %.0f/s", n, float64(2*n*len(vips))/time.Since(start).Seconds())
	}()
	for _, v := range vips {
		w.trafficTo(t, v, n)
	}
}

// trafficTo is traffic to one service.
func (w *world) trafficTo(t *testing.T, v vip, n int) {
	t.Helper()
	for protocol, ask := range map[string]func(vip) (string, error){"tcp": w.get, "udp": w.echo} {
		by, failed := together(n, func() (string, error) { return ask(v) })
		if len(failed) > 0 {
			t.Fatalf("%s %s: %d failed, answered by %v: %v", v.name, protocol, len(failed), by, failed[0])
		}
		if len(by) != backends {
			t.Errorf("%s %s: answered by %v, want all %d backends", v.name, protocol, by, backends)
		}
	}
}

// enough failures are enough to know: each may take all of its time.
const enough = 5

// together asks n times, sixteen at once, and counts who answers. It gives up after
// enough failures.
func together(n int, ask func() (string, error)) (by map[string]int, failed []error) {
	by = map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	jobs := make(chan struct{})
	given, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	for range min(n, 16) {
		wg.Go(func() {
			for range jobs {
				name, err := ask()
				mu.Lock()
				if err == nil {
					by[name]++
				} else {
					failed = append(failed, err)
				}
				if len(failed) == enough {
					giveUp()
				}
				mu.Unlock()
			}
		})
	}
	for range n {
		select {
		case jobs <- struct{}{}:
		case <-given.Done():
		}
	}
	close(jobs)
	wg.Wait()
	return by, failed
}

// answerTime bounds one request. TCP sends what was lost again after one second, three,
// seven: what gets lost now and then is not told from what is slow.
const answerTime = 15 * time.Second

func (w *world) get(v vip) (string, error) {
	c := w.lab.Clients[0].HTTPClient(answerTime, false)
	return lab.Get(w.t.Context(), c, fmt.Sprintf("http://%s/", netip.AddrPortFrom(v.addr, webPort)))
}

// echo sends a datagram until it is answered, thrice at most: nobody but the client
// repeats it, and a next hop that has just moved costs one.
func (w *world) echo(v vip) (string, error) {
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "udp", netip.AddrPortFrom(v.addr, webPort).String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	b := make([]byte, 100)
	for range 3 {
		if _, err = c.Write([]byte("?")); err != nil {
			return "", err
		}
		if err = c.SetReadDeadline(time.Now().Add(answerTime / 3)); err != nil {
			return "", err
		}
		n, rerr := c.Read(b)
		if rerr == nil {
			name, _, _ := bytes.Cut(b[:n], []byte(" "))
			return string(name), nil
		}
		err = rerr
	}
	return "", err
}

// bulkSize is what must come through in one piece: some 70,000 packets of full size.
const bulkSize = 100 << 20

// bulk sends so much to each service, and fetches it by nat, and compares hashes.
func (w *world) bulk(t *testing.T) {
	want := sha256.New()
	if _, err := io.Copy(want, stream()); err != nil {
		t.Fatal(err)
	}
	for _, v := range vips {
		if testing.Short() && v.addr.Is4() == (v.mode == "nat") {
			continue // nat6 and dsr4 are enough
		}
		transfer(t, v.name+" to the server", want.Sum(nil), func() ([]byte, error) { return w.upload(v) })
		if v.mode == "nat" { // by dsr it would not come through the balancer
			transfer(t, v.name+" to the client", want.Sum(nil), func() ([]byte, error) { return w.download(v) })
		}
	}
}

func stream() io.Reader { return io.LimitReader(&lab.Stream{}, bulkSize) }

func transfer(t *testing.T, what string, want []byte, move func() ([]byte, error)) {
	t.Helper()
	start := time.Now()
	got, err := move()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s: hash %x, want %x", what, got, want)
	}
	t.Logf("%s: %.1f MB/s", what, bulkSize/1e6/time.Since(start).Seconds())
}

// bulkTime bounds one transfer.
const bulkTime = 3 * time.Minute

func (w *world) download(v vip) ([]byte, error) {
	c := w.lab.Clients[0].HTTPClient(bulkTime, false)
	res, err := c.Get(fmt.Sprintf("http://%s/big?n=%d", netip.AddrPortFrom(v.addr, webPort), bulkSize))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	h := sha256.New()
	_, err = io.Copy(h, res.Body)
	return h.Sum(nil), err
}

func (w *world) upload(v vip) ([]byte, error) {
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "tcp", netip.AddrPortFrom(v.addr, sinkPort).String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(bulkTime)); err != nil {
		return nil, err
	}
	if _, err := io.Copy(c, stream()); err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

// listenSink starts a server that answers with the hash of all that it gets.
func listenSink(t *testing.T, h *lab.Host) {
	t.Helper()
	err := h.ServeTCP(fmt.Sprint(":", sinkPort), func(c net.Conn) {
		hash := sha256.New()
		if _, err := io.Copy(hash, c); err == nil {
			_, _ = c.Write(hash.Sum(nil)) // the client says what it misses
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
