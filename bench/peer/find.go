package peer

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Program is a program that the harness uses if it is there. Nothing is installed.
type Program struct {
	Name     string
	packages string // of Debian
	part     func(path string) error
}

// The programs.
var (
	NFT     = Program{Name: "nft", packages: "nftables"}
	HAProxy = Program{Name: "haproxy", packages: "haproxy"}
	Nginx   = Program{"nginx", "nginx-light libnginx-mod-stream", func(path string) error { _, err := streamModule(path); return err }}
	Testpmd = Program{"dpdk-testpmd", "dpdk-dev librte-net-af-xdp23", afXDPDriver}
)

// ErrAbsent is a program, or a part of it, that this machine does not have.
var ErrAbsent = errors.New("absent")

// Find returns the program's path. An [ErrAbsent] says how to get the program.
func (p Program) Find() (string, error) {
	path, err := look(p.Name)
	if err == nil && p.part != nil {
		err = p.part(path)
	}
	if err != nil {
		return "", fmt.Errorf("%s is %w (apt-get install %s): %w", p.Name, ErrAbsent, p.packages, err)
	}
	return path, nil
}

// look looks where root's programs are too: the PATH need not say so.
func look(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		if p, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return p, nil
		}
	}
	return path, err
}

// afXDPDriver looks for DPDK's AF_XDP driver, which is a package of its own.
func afXDPDriver(string) error {
	const pattern = "/usr/lib/*/dpdk/pmds-*/librte_net_af_xdp.so*"
	if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
		return fmt.Errorf("no driver at %s", pattern)
	}
	return nil
}

var (
	builtIn = regexp.MustCompile(`--with-stream( |\n|$)`)
	modules = regexp.MustCompile(`--modules-path=(\S+)`)
)

// streamModule returns the file with nginx's stream module, empty if it is built in.
func streamModule(nginx string) (string, error) {
	out, err := exec.Command(nginx, "-V").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its modules: %w: %s", nginx, err, out)
	}
	if builtIn.Match(out) {
		return "", nil
	}
	m := modules.FindSubmatch(out)
	if m == nil {
		return "", errors.New("no stream module in it")
	}
	path := filepath.Join(string(m[1]), "ngx_stream_module.so")
	if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
		return "", fmt.Errorf("no stream module at %s", path)
	}
	return path, nil
}
