package vmlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// The releases that the lab's packages come from. trixie itself is not among them:
// nothing of it is needed, and apt would take libraries from it that do not fit.
var suites = []string{"bookworm", "bookworm-backports", "trixie-backports"}

// Debian's own keys, of the package debian-archive-keyring.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// preferences: a newer kernel only when it is asked for, and QEMU of the backports.
const preferences = `Package: *
Pin: release n=trixie-backports
Pin-Priority: 1

Package: qemu-* seabios ipxe-qemu
Pin: release n=bookworm-backports
Pin-Priority: 600
`

// apt is a configuration of apt with lists, pins and a cache of its own. Of the
// machine's it has the mirror, the way there (proxies and the like) and, to read, what
// is installed.
type apt struct{ dir string }

// openApt makes the configuration in a folder and fetches the lists of packages.
func openApt(dir string) (*apt, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	a := &apt{dir: dir}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	mirror, err := machineMirror()
	if err != nil {
		return nil, err
	}
	acquire, err := run(exec.Command("apt-config", "dump", "Acquire"))
	if err != nil {
		return nil, fmt.Errorf("ask for the machine's way to its mirror: %w", err)
	}
	for name, text := range map[string]string{
		"apt.conf":     aptConf(dir, acquire),
		"sources.list": sourcesList(mirror),
		"preferences":  preferences,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := run(a.command("apt-get", "update", "-q")); err != nil {
		return nil, fmt.Errorf("fetch the lists of packages from %s: %w", mirror, err)
	}
	return a, nil
}

// machineMirror returns the address that this machine has bookworm from.
func machineMirror() (string, error) {
	text, err := run(exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"))
	if err != nil {
		return "", fmt.Errorf("ask for this machine's package sources: %w", err)
	}
	return mirrorIn(text)
}

func mirrorIn(targets string) (string, error) {
	for line := range strings.Lines(targets) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == suites[0] && f[2] == "main" {
			return strings.TrimSuffix(f[0], "/"), nil
		}
	}
	return "", fmt.Errorf("this machine's package sources have no main of %s, which the lab's packages are pinned to", suites[0])
}

func sourcesList(mirror string) string {
	var b strings.Builder
	for _, s := range suites {
		fmt.Fprintf(&b, "deb [signed-by=%s] %s %s main\n", keyring, mirror, s)
	}
	return b.String()
}

// aptConf is the configuration's text. What the machine has to say about acquiring
// stays, but for further kinds of indexes, and for leave to do without signatures.
func aptConf(dir, acquire string) string {
	var b strings.Builder
	for line := range strings.Lines(acquire) {
		if !strings.HasPrefix(line, "Acquire::IndexTargets") && !strings.Contains(line, "::Allow") {
			b.WriteString(line)
		}
	}
	for _, s := range [][2]string{
		{"Acquire::Languages", "none"},
		{"APT::Sandbox::User", "root"}, // the cache may be where _apt can't write
		{"Dir::Etc::main", dir + "/none"},
		{"Dir::Etc::parts", dir + "/parts"},
		{"Dir::Etc::sourcelist", dir + "/sources.list"},
		{"Dir::Etc::sourceparts", dir + "/parts"},
		{"Dir::Etc::preferences", dir + "/preferences"},
		{"Dir::Etc::preferencesparts", dir + "/parts"},
		{"Dir::State", dir},
		{"Dir::State::lists", dir + "/lists"},
		{"Dir::State::status", "/var/lib/dpkg/status"},
		{"Dir::Cache", dir + "/cache"},
	} {
		fmt.Fprintf(&b, "%s %q;\n", s[0], s[1])
	}
	return b.String()
}

func (a *apt) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	return c
}

// newest returns the version of a package that a suite has.
func (a *apt) newest(pkg, suite string) (string, error) {
	text, err := run(a.command("apt-cache", "madison", pkg))
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", pkg, err)
	}
	return versionIn(text, pkg, suite)
}

func versionIn(madison, pkg, suite string) (string, error) {
	for line := range strings.Lines(madison) { // linux-image-amd64 | 6.1.176-1 | http://… bookworm/main amd64 Packages
		if f := strings.Fields(line); len(f) >= 6 && f[0] == pkg && f[5] == suite+"/main" {
			return f[2], nil
		}
	}
	return "", fmt.Errorf("%s has no %s", suite, pkg)
}

// depends returns the names of the packages that a version of one depends on and that
// the pattern fits.
func (a *apt) depends(pkg, version string, pattern *regexp.Regexp) ([]string, error) {
	text, err := run(a.command("apt-cache", "show", pkg+"="+version))
	if err != nil {
		return nil, fmt.Errorf("ask what %s %s depends on: %w", pkg, version, err)
	}
	return dependsIn(text, pattern), nil
}

func dependsIn(show string, pattern *regexp.Regexp) (names []string) {
	for line := range strings.Lines(show) {
		list, ok := strings.CutPrefix(line, "Depends: ")
		if !ok {
			continue
		}
		for item := range strings.SplitSeq(list, ",") {
			if name, _, _ := strings.Cut(strings.TrimSpace(item), " "); pattern.MatchString(name) {
				names = append(names, name)
			}
		}
		break // apt-cache shows the first, pinned one first
	}
	return names
}

// closure returns packages, as name=version, and all that they need and this machine
// does not have.
func (a *apt) closure(pkgs ...string) ([]string, error) {
	args := append([]string{"install", "-s", "--reinstall", "--no-install-recommends"}, pkgs...)
	text, err := run(a.command("apt-get", args...))
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", strings.Join(pkgs, ", "), err)
	}
	return installedIn(text), nil
}

// inst is a line of a simulated installation: Inst name [old] (version suite [arch]).
var inst = regexp.MustCompile(`^Inst (\S+) (?:\[\S+\] )?\((\S+) `)

func installedIn(simulation string) (pkgs []string) {
	for line := range strings.Lines(simulation) {
		if m := inst.FindStringSubmatch(line); m != nil {
			pkgs = append(pkgs, m[1]+"="+m[2])
		}
	}
	return pkgs
}

// unpack fetches packages, whose signatures apt checks, and unpacks them together in a
// new folder. Nothing of theirs is run. The folder is complete or not there.
func (a *apt) unpack(dir string, pkgs ...string) (err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir))
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	debs, root := filepath.Join(tmp, "debs"), filepath.Join(tmp, "root")
	if err := errors.Join(os.Mkdir(debs, 0o755), os.Mkdir(root, 0o755)); err != nil {
		return err
	}
	get := a.command("apt-get", append([]string{"download", "-q"}, pkgs...)...)
	get.Dir = debs
	if _, err := run(get); err != nil {
		return fmt.Errorf("fetch %s: %w", strings.Join(pkgs, ", "), err)
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := run(exec.Command("dpkg-deb", "-x", f, root)); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(f), err)
		}
	}
	return os.Rename(root, dir)
}

// run runs a program and returns what it prints; an error has what it complains of.
func run(c *exec.Cmd) (string, error) {
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return string(out), err
}
