//go:build vm

package vmlab

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/vmlab/agent"
)

// balancer is an afxlb in a guest.
type balancer struct {
	w   *world
	p   *agent.Process
	out output
	// early is what came between the attachment and the sockets: of connections that were
	// there before, ends send again.
	early uint64
}

const configFile, socket = "/tmp/afxlb.yaml", "/tmp/afxlb.sock"

// start starts an afxlb with a config.
func (w *world) start(config string, args ...string) *balancer {
	w.t.Helper()
	if err := w.guest.WriteFile(w.t.Context(), configFile, []byte(config)); err != nil {
		w.t.Fatal(err)
	}
	b := &balancer{w: w}
	p, err := w.guest.Client.Start(&b.out, append([]string{"afxlb", "--config", configFile, "--socket", socket}, args...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	b.p = p
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("afxlb:\n%s", b.out.String())
			for _, verb := range []string{"status", "counters"} {
				text, err := w.guest.Run(context.Background(), "afxlb", verb, "--socket", socket)
				w.t.Logf("%s: %v\n%s", verb, err, text)
			}
		}
	})
	return b
}

// serve starts an afxlb and waits until it serves.
func (w *world) serve(config string, args ...string) *balancer {
	w.t.Helper()
	b := w.start(config, args...)
	b.awaitServing(w.t)
	var list []api.Counter
	if err := b.ask(w.t, &list, "counters"); err != nil {
		w.t.Fatal(err)
	}
	b.early = value(list, "steering", "dropped-no-socket")
	return b
}

// ask reads the balancer's answer to a verb.
func (b *balancer) ask(t testing.TB, to any, verb ...string) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := b.w.guest.Run(ctx, append(append([]string{"afxlb"}, verb...), "--json", "--socket", socket)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), to)
}

func (b *balancer) status(t testing.TB) (s api.Status) {
	t.Helper()
	if err := b.ask(t, &s, "status"); err != nil {
		t.Fatal(err)
	}
	return s
}

// await asks until there is an answer that ok accepts.
func (b *balancer) await(t testing.TB, what string, ok func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-b.p.Ended():
			t.Fatalf("afxlb ended instead of coming to %s:\n%s", what, b.out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("afxlb did not come to %s: %v", what, err)
		}
	}
}

// awaitServing waits until it serves, and all backends are up and their MACs known.
func (b *balancer) awaitServing(t testing.TB) {
	t.Helper()
	b.await(t, "serve", func() error {
		var s api.Status
		if err := b.ask(t, &s, "status"); err != nil {
			return err
		}
		if s.State != "serving" || s.Backends.Up != s.Backends.Total {
			return fmt.Errorf("state %s, %d of %d backends are up, warnings %v", s.State, s.Backends.Up, s.Backends.Total, s.Warnings)
		}
		var list []api.Backend
		if err := b.ask(t, &list, "backends"); err != nil {
			return err
		}
		if i := slices.IndexFunc(list, func(b api.Backend) bool { return b.MAC == "" }); i >= 0 {
			return fmt.Errorf("no way to %s of %s", list[i].Name, list[i].Service)
		}
		return nil
	})
}

// awaitCarrier waits until the guest's kernel knows of the cable.
func (b *balancer) awaitCarrier(t testing.TB, in bool) {
	t.Helper()
	want := "0"
	if in {
		want = "1"
	}
	b.await(t, "see the carrier", func() error {
		text, err := b.w.guest.Run(t.Context(), "guest", "cat", "/sys/class/net/"+nicName+"/carrier")
		if err == nil && strings.TrimSpace(text) != want {
			err = fmt.Errorf("carrier is %q, want %s", text, want)
		}
		return err
	})
}

// ledger waits until the counters stand still and holds them against each other: every
// packet ended once, nothing was lost or refused, and every frame is where it should be.
func (b *balancer) ledger(t *testing.T) {
	var list []api.Counter
	last := uint64(0)
	b.await(t, "rest", func() error {
		if err := b.ask(t, &list, "counters"); err != nil {
			return err
		}
		received := value(list, "packets", "received")
		if received == last {
			return nil
		}
		err := fmt.Errorf("received %d packets, before %d", received, last)
		last = received
		return err
	})
	var sum uint64
	var seen []string
	for _, c := range list {
		if c.Group == "packets" && c.Name != "received" {
			sum += c.Value
		}
		if c.Value > 0 {
			seen = append(seen, fmt.Sprintf("%s/%s %d", c.Group, c.Name, c.Value))
		}
	}
	t.Log(strings.Join(seen, ", "))
	if received := value(list, "packets", "received"); received != sum || received == 0 {
		t.Errorf("received %d packets, verdicts %d", received, sum)
	}
	if n := value(list, "steering", "dropped-no-socket"); n != b.early {
		t.Errorf("dropped-no-socket is %d, and was %d when it began to serve", n, b.early)
	}
	if n := value(list, "kernel", "tx-invalid"); n != 0 {
		t.Errorf("tx-invalid is %d", n)
	}
	for _, one := range b.status(t).Workers {
		f := one.Frames
		if f.Free+f.Filled+f.Held+f.Transmit != f.Total || f.Held != 0 || f.Total == 0 {
			t.Errorf("queue %d: its frames do not add up, or are still held: %+v", one.Queue, f)
		}
	}
}

func value(list []api.Counter, group, name string) uint64 {
	for _, c := range list {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	return 0
}

// stop ends it by SIGTERM; it must end well.
func (b *balancer) stop(t *testing.T) {
	t.Helper()
	if code := b.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, b.out.String())
	}
}

// kill ends it as a crash would.
func (b *balancer) kill(t *testing.T) {
	t.Helper()
	b.end(t, syscall.SIGKILL)
}

func (b *balancer) end(t *testing.T, s syscall.Signal) int {
	t.Helper()
	if err := b.p.Signal(s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("it does not end within %v", patience))
	defer cancel()
	code, err := b.p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return code
}
