package vmlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Cache is a folder with what was fetched and unpacked. What is there is used as it is:
// who wants newer kernels removes the folder.
type Cache struct {
	dir string

	mu  sync.Mutex
	apt *apt // nil until something has to be fetched
}

// OpenCache makes the folder if there is none.
func OpenCache(dir string) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the lab's cache: %w", err)
	}
	return &Cache{dir: dir}, nil
}

// tree returns a folder of the cache, which fetch makes if it is not there yet.
func (c *Cache) tree(name string, fetch func(a *apt, dir string) error) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := filepath.Join(c.dir, name)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if c.apt == nil {
		a, err := openApt(filepath.Join(c.dir, "apt"))
		if err != nil {
			return "", err
		}
		c.apt = a
	}
	return dir, fetch(c.apt, dir)
}

// KernelPin says which kernel is meant: the one that Debian's suite has now.
type KernelPin struct {
	Name  string // of tests, and of the folder in the cache
	Suite string
	Major string // what its version must begin with; empty: whatever comes
	// Modules that this kernel's others need without saying so.
	Modules []string
}

// Kernels are the ones that the lab knows: the long-term ones that most machines run,
// and the newest.
var Kernels = []KernelPin{
	{Name: "6.1", Suite: "bookworm", Major: "6.1.", Modules: []string{"crc32c_generic"}},
	{Name: "6.12", Suite: "bookworm-backports", Major: "6.12.", Modules: []string{"crc32c_generic"}},
	{Name: "newest", Suite: "trixie-backports"},
}

// Kernel is an unpacked one.
type Kernel struct {
	KernelPin
	Release string // as uname has it
	Image   string // file of the kernel itself
	modules string // folder of its modules
}

var (
	imageName = regexp.MustCompile(`^linux-image-[0-9]`)
	partName  = regexp.MustCompile(`^linux-(base|binary|modules)-[0-9]`) // since 7.0 the image is in three parts
)

// Kernel returns a kernel, fetched if it must be.
func (c *Cache) Kernel(pin KernelPin) (*Kernel, error) {
	const meta = "linux-image-amd64"
	dir, err := c.tree("linux-"+pin.Name, func(a *apt, dir string) error {
		version, err := a.newest(meta, pin.Suite)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(version, pin.Major) {
			return fmt.Errorf("%s has Linux %s, and %s was meant", pin.Suite, version, pin.Major)
		}
		images, err := a.depends(meta, version, imageName)
		if err == nil && len(images) != 1 {
			err = fmt.Errorf("%s %s depends on %q: want one image", meta, version, images)
		}
		if err != nil {
			return err
		}
		parts, err := a.depends(images[0], version, partName)
		if err != nil {
			return err
		}
		if len(parts) == 0 {
			parts = images
		}
		for i := range parts {
			parts[i] += "=" + version
		}
		return a.unpack(dir, parts...)
	})
	if err != nil {
		return nil, fmt.Errorf("get the kernel %s: %w", pin.Name, err)
	}
	return openKernel(pin, dir)
}

// openKernel finds the parts of an unpacked kernel. Packages of the time before /usr
// was merged have them one folder higher.
func openKernel(pin KernelPin, dir string) (*Kernel, error) {
	k := &Kernel{KernelPin: pin}
	for _, p := range []string{"lib/modules/*/kernel", "usr/lib/modules/*/kernel"} {
		if found, _ := filepath.Glob(filepath.Join(dir, p)); len(found) == 1 {
			k.modules = filepath.Dir(found[0])
		}
	}
	for _, p := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		if found, _ := filepath.Glob(filepath.Join(dir, p)); len(found) == 1 {
			k.Image = found[0]
		}
	}
	if k.modules == "" || k.Image == "" {
		return nil, fmt.Errorf("find a kernel in %s: image %q, modules %q", dir, k.Image, k.modules)
	}
	k.Release = filepath.Base(k.modules)
	return k, nil
}

// tools returns the folder with QEMU, its firmware and whatever of its libraries this
// machine lacks.
func (c *Cache) tools() (string, error) {
	dir, err := c.tree("tools", func(a *apt, dir string) error {
		pkgs, err := a.closure("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios", "ipxe-qemu", "xz-utils")
		if err != nil {
			return err
		}
		return a.unpack(dir, pkgs...)
	})
	if err != nil {
		return "", fmt.Errorf("get QEMU: %w", err)
	}
	return dir, nil
}

// libraries is the environment's entry for programs of the tools folder.
func libraries(tools string) string {
	return "LD_LIBRARY_PATH=" + filepath.Join(tools, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(tools, "lib/x86_64-linux-gnu")
}
