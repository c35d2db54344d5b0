//go:build tools

package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// keepalivedConf is what the machine ran until now, with the lab's backends.
func keepalivedConf() string {
	var text strings.Builder
	fmt.Fprintf(&text, "virtual_server %v %d {\n  delay_loop 1\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n", natVIP4, port)
	for i := range 3 {
		fmt.Fprintf(&text, "  real_server %v %d {\n    weight 1\n    TCP_CHECK {\n      connect_timeout 1\n    }\n  }\n", lab.BackendAddr(i), port)
	}
	return text.String() + "}\n"
}

// users asks the service again and again until it is told to end, and then how many
// were not answered.
func (w *world) users() (end func() (asked, failed int64)) {
	var asked, failed atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			asked.Add(1)
			if _, err := w.get(natVIP4); err != nil {
				failed.Add(1)
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-ended
		return asked.Load(), failed.Load()
	}
}

// A person's hour: from a machine with keepalived.conf to one that afxlb serves, with what is done
// on the days after, and back to one on which it never was. The machine is a Debian in
// namespaces that systemd runs; its users are the lab's, and none notices but when it is
// upgraded.
func TestToolsPersonsHour(t *testing.T) {
	w := newWorld(t)
	m := boot(t, w.lab.Balancer)
	devices := m.run("ls /sys/class/net")
	m.write("/etc/keepalived/keepalived.conf", keepalivedConf())
	before := m.changes()

	m.install()
	m.run("afxlb convert /etc/keepalived/keepalived.conf > /etc/afxlb/afxlb.yaml")
	m.run("sed -i 's/^# interface: eth0.*/interface: eth0/' /etc/afxlb/afxlb.yaml")
	m.run("afxlb check --here /etc/afxlb/afxlb.yaml")
	m.run("systemctl enable --now afxlb")
	m.await("all backends", "afxlb status", regexp.MustCompile(`backends +3 of 3 up`))
	end := w.users()

	// A connection that stays keeps the drain waiting, and nobody else's goes there.
	service, backend := fmt.Sprintf("%v:%d", natVIP4, port), fmt.Sprintf("%v:%d", lab.BackendAddr(1), port)
	name := ""
	var client *visit
	for range 30 { // until it is at the backend that will drain
		var err error
		if client, err = w.visit(natVIP4); err == nil {
			name, err = client.ask()
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "b1" {
			break
		}
		client.Close()
	}
	if name != "b1" {
		t.Fatalf("no connection gets to b1, the last one to %s", name)
	}
	drained := make(chan string, 1)
	go func() {
		out, code := m.try(fmt.Sprintf("afxlb backend drain %s %s --timeout 50s --wait", service, backend))
		drained <- fmt.Sprintf("exit code %d\n%s", code, out)
	}()
	m.await("the drain", "afxlb backends", regexp.MustCompile(regexp.QuoteMeta(backend)+`.* drain \(override\)`))
	for range 6 {
		if by := w.mustAnswer(1, natVIP4); by["b1"] != 0 {
			t.Error("a backend that drains gets new connections")
		}
	}
	if again, err := client.ask(); err != nil || again != "b1" {
		t.Errorf("the connection that was there before is answered by %q, %v", again, err)
	}
	select {
	case out := <-drained:
		t.Errorf("the drain does not wait for the connection that is left: %s", out)
	default:
	}
	client.Close()
	if out := <-drained; !strings.HasPrefix(out, "exit code 0\n") {
		t.Errorf("the drain: %s", out)
	}

	for what, c := range map[string]struct{ line, right string }{
		"top":     {"afxlb top --once --view backends --service " + service, regexp.QuoteMeta(backend) + ".*drain"},
		"events":  {"afxlb events --since 1h", "backend-drain +" + regexp.QuoteMeta(service)},
		"the log": {"journalctl --unit afxlb --no-pager --output cat", "backend-drain"},
	} {
		if out := m.run(c.line); !regexp.MustCompile(c.right).MatchString(out) {
			t.Errorf("%s does not show the drain:\n%s", what, out)
		}
	}
	browser := w.lab.Balancer.HTTPClient(patience, false)
	for path, right := range map[string]string{
		"/":                               "(?i)<!doctype html>",
		"/v1/backends?service=" + service: `"name":"` + regexp.QuoteMeta(backend) + `"[^}]*"state":"drain"`,
		"/metrics":                        `afxlb_backend_weight\{backend="` + regexp.QuoteMeta(backend) + `",[^}]*\} 0`,
	} {
		text, err := lab.Get(t.Context(), browser, "http://127.0.0.1:9190"+path)
		if err != nil || !regexp.MustCompile(right).MatchString(text) {
			t.Errorf("%s of the page does not show the drain: %v\n%.2000s", path, err, text)
		}
	}
	if asked, failed := end(); failed != 0 || asked < 10 {
		t.Errorf("%d of %d users were not answered", failed, asked)
	}

	m.run("dpkg --install /mnt/shared/afxlb_1.1.0-1_*.deb")
	m.await("the new version, with what was changed at the old one", "afxlb status && afxlb backends", regexp.MustCompile(`(?s)version +v1\.1\.0,.*drain \(override\)`))
	m.await("its backends", "afxlb status", regexp.MustCompile(`backends +3 of 3 up`))
	if by := w.mustAnswer(6, natVIP4); by["b1"] != 0 {
		t.Error("the upgrade has forgotten the drain")
	}
	m.run(fmt.Sprintf("afxlb backend enable %s %s", service, backend))

	m.run("dpkg --purge afxlb")
	if w.attached() {
		t.Error("the XDP program is left")
	}
	for what, line := range map[string]string{
		"a process":  "pgrep --list-name afxlb",
		"a socket":   "ls -d /run/afxlb",
		"a unit":     "systemctl list-unit-files --no-legend 'afxlb*' | grep .",
		"a link":     "find /etc/systemd -name '*afxlb*' | grep .",
		"the group":  "getent group afxlb",
		"its state":  "ls -d /var/lib/afxlb",
		"its config": "ls -d /etc/afxlb",
	} {
		if out, code := m.try(line); code == 0 {
			t.Errorf("%s is left: %s", what, out)
		}
	}
	if now := m.run("ls /sys/class/net"); now != devices {
		t.Errorf("the devices are\n%s and were\n%s", now, devices)
	}
	m.leftAre(before)
}
