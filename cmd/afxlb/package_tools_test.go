//go:build tools

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// packages makes those of two versions, once, and returns their folder, which make clean removes.
var packages = sync.OnceValues(func() (string, error) {
	folder, err := filepath.Abs("../../dist/test-packages")
	if err != nil {
		return "", err
	}
	for _, version := range []string{"v1.0.0", "v1.1.0"} {
		c := exec.Command("make", "-C", "../..", "package", "VERSION="+version, "PACKAGES="+folder)
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("make package: %w\n%s", err, out)
		}
	}
	return folder, nil
})

// bring puts the packages into the machine's /mnt/shared.
func (m *machine) bring() {
	m.t.Helper()
	folder, err := packages()
	if err != nil {
		m.t.Fatal(err)
	}
	if out, err := exec.Command("bash", "-c", fmt.Sprintf("cp %s/*.deb %[1]s/*.rpm %s", folder, m.shared)).CombinedOutput(); err != nil {
		m.t.Fatalf("copy the packages: %v\n%s", err, out)
	}
}

// packager is a way to install.
type packager struct {
	name, file                       string // file: %s is the version
	install, upgrade, remove, forget string // %s is the file
	version                          string
}

var packagers = []packager{
	{
		name: "deb", file: "afxlb_%s-1_*.deb",
		install: "dpkg --install %s", upgrade: "dpkg --install %s",
		remove: "dpkg --remove afxlb", forget: "dpkg --purge afxlb", version: "dpkg-query -W -f '${Version}' afxlb",
	},
	{ // Debian has no database of rpms that would know of a shell
		name: "rpm", file: "afxlb-%s-1.*.rpm",
		install: "rpm --install --nodeps --force-debian %s", upgrade: "rpm --upgrade --nodeps --force-debian %s",
		remove: "rpm --erase --nodeps afxlb", forget: "true", version: "rpm --query --queryformat '%{VERSION}-%{RELEASE}' afxlb",
	},
}

// Both packages are installed, upgraded and removed: all is there that is to be, the config stays
// the administrator's, and nothing else is left.
func TestToolsPackages(t *testing.T) {
	testutil.RequireRoot(t)
	for _, p := range packagers {
		t.Run(p.name, func(t *testing.T) {
			host, err := lab.NewHost("machine")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := host.Close(); err != nil {
					t.Error(err)
				}
			})
			m := newMachine(t, host, "sleep", "infinity")
			m.bring()
			file := func(version string) string { return filepath.Join("/mnt/shared", fmt.Sprintf(p.file, version)) }
			before := m.changes()
			m.run(fmt.Sprintf(p.install, file("1.0.0")))
			m.installed()
			if out := m.run("afxlb version"); !strings.HasPrefix(out, "afxlb v1.0.0,") {
				t.Errorf("version: %s", out)
			}

			m.run("echo '# mine' >> /etc/afxlb/afxlb.yaml && echo mine > /etc/afxlb/cert.pem && mkdir -p /var/lib/afxlb && touch /var/lib/afxlb/state")
			m.run(fmt.Sprintf(p.upgrade, file("1.1.0")))
			if out := m.run("afxlb version"); !strings.HasPrefix(out, "afxlb v1.1.0,") {
				t.Errorf("version after the upgrade: %s", out)
			}
			if out := m.run(p.version); !strings.Contains(out, "1.1.0-1") {
				t.Errorf("the database says version %s", out)
			}
			if out := m.run("cat /etc/afxlb/afxlb.yaml"); !strings.HasSuffix(out, "# mine\n") {
				t.Errorf("the upgrade has overwritten the config:\n%s", out)
			}
			m.run("test -e /var/lib/afxlb/state")

			m.run(p.remove)
			if p.name == "deb" {
				if out := m.run("cat /etc/afxlb/afxlb.yaml"); !strings.HasSuffix(out, "# mine\n") {
					t.Errorf("the removal has taken the config along:\n%s", out)
				}
			}
			m.run(p.forget)
			want := []string{"etc/afxlb/cert.pem"}
			if p.name == "rpm" { // which keeps a config that was changed
				want = append(want, "etc/afxlb/afxlb.yaml.rpmsave")
			}
			m.leftAre(append(before, want...))
			if out, code := m.try("getent group afxlb"); code == 0 {
				t.Errorf("the group is left: %s", out)
			}
		})
	}
}

// installed holds that all is where it belongs, and works.
func (m *machine) installed() {
	m.t.Helper()
	for _, path := range []string{
		"/usr/bin/afxlb", "/etc/afxlb/afxlb.yaml", "/usr/lib/systemd/system/afxlb.service", "/usr/share/afxlb/afxlb.schema.json",
		"/usr/share/afxlb/grafana/afxlb.json", "/usr/share/afxlb/prometheus/afxlb.rules.yaml", "/usr/share/man/man8/afxlb.8.gz",
		"/usr/share/man/man8/afxlb-check.8.gz", "/usr/share/bash-completion/completions/afxlb", "/usr/share/fish/vendor_completions.d/afxlb.fish",
		"/usr/share/zsh/*/_afxlb", "/usr/share/doc/afxlb/README.md", "/usr/share/doc/afxlb/CONFIG.md", "/usr/share/doc/afxlb/examples/afxlb.yaml",
	} {
		m.run("test -s " + path)
	}
	m.run("getent group afxlb")
	m.run("afxlb check /etc/afxlb/afxlb.yaml && afxlb check /usr/share/doc/afxlb/examples/afxlb.yaml")
	m.run("systemd-analyze verify --man=no afxlb.service")
	m.run("source /usr/share/bash-completion/completions/afxlb && complete -p afxlb")
	if out, code := m.try("afxlb"); code != exitUsage || !strings.Contains(out, "no interface") {
		m.t.Errorf("with the config as it comes: exit code %d: %s", code, out)
	}
	if out, code := m.try("find /etc/systemd -name 'afxlb*' | grep ."); code == 0 {
		m.t.Errorf("the service is enabled: %s", out)
	}
}

// leftAre holds that the machine's files are as they were, but for those; the files of users and
// groups are written anew by whoever adds and removes one.
func (m *machine) leftAre(want []string) {
	m.t.Helper()
	accounts := regexp.MustCompile(`^etc/(group|gshadow|passwd|shadow|subuid|subgid)-?$|^etc/\.pwd\.lock$`)
	for _, path := range m.changes() {
		if !slices.Contains(want, path) && !accounts.MatchString(path) {
			m.t.Errorf("left behind: %s", path)
		}
	}
	for _, path := range want {
		m.run("test -e /mnt/changes/" + path)
	}
}
