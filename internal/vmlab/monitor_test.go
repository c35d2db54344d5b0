package vmlab

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestMonitor speaks with what QEMU would say: a greeting, events in between, a refusal.
func TestMonitor(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 10)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintln(c, `{"QMP": {"version": {}, "capabilities": []}}`)
		for in := bufio.NewScanner(c); in.Scan(); {
			asked <- in.Text()
			fmt.Fprintln(c, `{"event": "NIC_RX_FILTER_CHANGED", "data": {}}`)
			if strings.Contains(in.Text(), "nic7") {
				fmt.Fprintln(c, `{"error": {"class": "DeviceNotFound", "desc": "Device 'nic7' not found"}}`)
			} else {
				fmt.Fprintln(c, `{"return": {}}`)
			}
		}
	}()
	m, err := dialMonitor(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	g := &Guest{monitor: m}
	if err := g.SetCable(0, false); err != nil {
		t.Error(err)
	}
	if err := g.SetCable(7, true); err == nil || !strings.Contains(err.Error(), "'nic7' not found") {
		t.Errorf("error %v, want QEMU's", err)
	}
	for _, want := range []string{
		`{"execute":"qmp_capabilities"}`,
		`{"arguments":{"name":"nic0","up":false},"execute":"set_link"}`,
		`{"arguments":{"name":"nic7","up":true},"execute":"set_link"}`,
	} {
		if got := <-asked; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

func TestMonitorThatIsNotThere(t *testing.T) {
	if _, err := dialMonitor(filepath.Join(t.TempDir(), "qmp")); err == nil {
		t.Error("connected to nothing")
	}
}
