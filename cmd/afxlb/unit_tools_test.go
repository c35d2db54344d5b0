//go:build tools

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// install installs the first version, and sees to what this machine's root may not give: without
// a raised limit on locked memory the unit needs CAP_IPC_LOCK.
func (m *machine) install() {
	m.t.Helper()
	m.bring()
	m.run("dpkg --install /mnt/shared/afxlb_1.0.0-1_*.deb")
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		m.t.Fatal(err)
	}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit.Cur, Max: unix.RLIM_INFINITY}) != nil {
		m.write("/run/systemd/system/afxlb.service.d/lock.conf", "[Service]\nCapabilityBoundingSet=CAP_IPC_LOCK\nAmbientCapabilities=CAP_IPC_LOCK\n")
		m.run("systemctl daemon-reload")
	} else if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		m.t.Fatal(err)
	}
}

// The unit by systemd itself: with all that it takes away the balancer does what it should;
// a reload says what came of it; one that stands still is started anew.
func TestToolsUnit(t *testing.T) {
	w := newWorld(t)
	m := boot(t, w.lab.Balancer)
	m.install()
	config := readText(t, w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), service("direct", dsrVIP4, "dsr", "tcp", quickHealth),
		service("ping", natVIP6, "nat", "tcp", pingHealth)))
	m.write("/etc/afxlb/afxlb.yaml", config)
	m.run("afxlb check --here /etc/afxlb/afxlb.yaml")
	m.run("systemctl enable --now afxlb") // returns when it is ready
	m.await("all backends", "afxlb status", regexp.MustCompile(`backends +9 of 9 up`))
	w.mustAnswer(4, natVIP4)
	w.mustAnswer(4, dsrVIP4)
	if out := m.run("systemctl show --property StatusText --value afxlb"); !strings.HasPrefix(out, "serving") {
		t.Errorf("its status text is %q", out)
	}
	for what, line := range map[string]string{
		"the socket is its group's":  `test "$(stat -c '%U:%G %a' /run/afxlb/afxlb.sock)" = "root:afxlb 660"`,
		"there is a folder of state": "test -d /var/lib/afxlb",
		"no warning, no obstacle":    "! journalctl --unit afxlb --priority warning --no-pager --quiet --output cat _COMM=afxlb | grep .",
		"all is hardened":            `test "$(systemctl show --property SystemCallFilter --value afxlb | wc -w)" -gt 100`,
	} {
		if out, code := m.try(line); code != 0 {
			t.Errorf("not so: %s: %s", what, out)
		}
	}

	m.run("systemctl reload afxlb")
	m.write("/etc/afxlb/afxlb.yaml", strings.Replace(config, "mode: nat", "mode: natt", 1))
	if out, code := m.try("systemctl reload afxlb"); code == 0 {
		t.Errorf("the reload of a wrong file goes well: %s", out)
	}
	m.await("why", "journalctl --unit afxlb --no-pager --output cat", regexp.MustCompile(`afxlb.yaml:3: services\[0\].mode: `))
	w.mustAnswer(4, natVIP4)
	m.write("/etc/afxlb/afxlb.yaml", config+"driver: asavie\n")
	m.run("systemctl reload afxlb") // all of it is in force but that
	m.await("what needs a restart", "journalctl --unit afxlb --no-pager --output cat && afxlb status", regexp.MustCompile(`(?s)driver.*warning +changed in the file, and not in force before a restart: driver`))
	m.write("/etc/afxlb/afxlb.yaml", config)

	m.write("/run/systemd/system/afxlb.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")
	m.run("systemctl daemon-reload && systemctl restart afxlb && kill -STOP $(systemctl show --property MainPID --value afxlb)")
	m.await("the watchdog", "systemctl show --property NRestarts --property SubState afxlb", regexp.MustCompile(`(?s)NRestarts=[1-9].*SubState=running`))
	m.await("why", "journalctl --unit afxlb --no-pager", regexp.MustCompile("Watchdog timeout"))
	w.mustAnswer(4, natVIP4)

	// An upgrade does not end what a mistake in the file would keep from starting again.
	m.run("echo 'intreface: eth1' >> /etc/afxlb/afxlb.yaml")
	if out := m.run("dpkg --install /mnt/shared/afxlb_1.1.0-1_*.deb"); !strings.Contains(out, "the old one goes on") {
		t.Errorf("an upgrade with a wrong file says\n%s", out)
	}
	w.mustAnswer(4, natVIP4)
	if out := m.run("afxlb status"); !regexp.MustCompile(`version +v1\.0\.0,`).MatchString(out) {
		t.Errorf("the old version does not go on:\n%s", out)
	}

	m.run("systemctl stop afxlb")
	if w.attached() {
		t.Error("the XDP program is left")
	}
	if out, code := m.try("ls -d /run/afxlb"); code == 0 {
		t.Errorf("left behind: %s", filepath.Clean(out))
	}
}
