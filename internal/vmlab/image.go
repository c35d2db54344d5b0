package vmlab

import (
	"bufio"
	"fmt"
	"os"
	"path"
)

// Image is what a guest has: the modules to load, and files by their path in the guest.
type Image struct {
	Modules []string
	Files   map[string]string // path in the guest, without a leading slash, to the machine's file
}

// guestModules are every guest's: the way to the machine.
var guestModules = []string{"virtio_pci", "virtio_console"}

// write makes the initramfs. init is the binary of ./guest; it is there as /bin/guest too.
func (i Image) write(file string, k *Kernel, tools, init string) (err error) {
	set, err := k.moduleSet(tools)
	if err != nil {
		return err
	}
	wanted := append(append(append([]string{}, k.Modules...), guestModules...), i.Modules...)
	modules, err := set.closure(wanted...)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Release, err)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	a := &archive{w: w}
	for n, m := range modules {
		a.file(fmt.Sprintf("modules/%03d-%s.ko", n, m.name), m.text)
	}
	for _, d := range []string{"bin", "tmp", "run", "proc", "sys", "dev", "etc"} {
		a.folders(d)
	}
	files := map[string]string{"init": init, "bin/guest": init}
	for to, from := range i.Files {
		files[path.Clean(to)] = from
	}
	for to, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		a.file(to, text)
	}
	if err := a.close(); err != nil {
		return err
	}
	return w.Flush()
}
