package vmlab

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeModule is an ELF file with nothing but a section .modinfo.
func fakeModule(modinfo string) []byte {
	const header, entry = 64, 64
	names := "\x00.modinfo\x00.shstrtab\x00"
	b := make([]byte, header)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 1)  // relocatable
	le.PutUint16(b[18:], 62) // x86-64
	le.PutUint32(b[20:], 1)
	le.PutUint16(b[52:], header)
	le.PutUint16(b[58:], entry)
	le.PutUint16(b[60:], 3) // sections
	le.PutUint16(b[62:], 2) // that of names
	infoAt := len(b)
	b = append(b, modinfo...)
	namesAt := len(b)
	b = append(b, names...)
	le.PutUint64(b[40:], uint64(len(b)))
	section := func(name, kind uint32, at, size int) {
		s := make([]byte, entry)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(at))
		le.PutUint64(s[32:], uint64(size))
		le.PutUint64(s[48:], 1)
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, infoAt, len(modinfo))
	section(10, 3, namesAt, len(names))
	return b
}

// fakeKernel is a folder as a package's, with these modules and what they depend on.
func fakeKernel(t *testing.T, modules map[string]string, builtin ...string) *Kernel {
	t.Helper()
	dir := t.TempDir()
	lib := filepath.Join(dir, "usr/lib/modules/9.9.9-test")
	write := func(file string, text []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(lib, "vmlinuz"), []byte("MZ"))
	for name, needs := range modules {
		write(filepath.Join(lib, "kernel/drivers", name+".ko"), fakeModule("license=GPL\x00depends="+needs+"\x00name="+name+"\x00"))
	}
	write(filepath.Join(lib, "modules.builtin"), []byte(strings.Join(builtin, "\n")+"\n"))
	k, err := openKernel(KernelPin{Name: "test"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != "9.9.9-test" {
		t.Errorf("release %q", k.Release)
	}
	return k
}

func TestModulesInOrder(t *testing.T) {
	k := fakeKernel(t, map[string]string{
		"virtio_net": "net-failover,virtio_ring", "net-failover": "failover", "failover": "",
		"virtio_ring": "", "virtio_pci": "virtio_ring,virtio", "igb": "",
	}, "kernel/drivers/virtio/virtio.ko")
	set, err := k.moduleSet("")
	if err != nil {
		t.Fatal(err)
	}
	list, err := set.closure("virtio-net", "virtio_pci", "virtio_net", "virtio")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.name)
	}
	if want := []string{"failover", "net_failover", "virtio_ring", "virtio_net", "virtio_pci"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if _, err := set.closure("bnxt_en"); err == nil || !strings.Contains(err.Error(), "bnxt_en") {
		t.Errorf("a module that is not there: %v", err)
	}
}

func TestModuleThatNeedsWhatIsNotThere(t *testing.T) {
	set, err := fakeKernel(t, map[string]string{"a": "b", "b": "c"}).moduleSet("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.closure("a"); err == nil || !strings.Contains(err.Error(), "module c: this kernel has none (b needs it) (a needs it)") {
		t.Errorf("error %v", err)
	}
}

func TestNotAModule(t *testing.T) {
	if _, err := depends([]byte("MZ, not a module")); err == nil {
		t.Error("took it for one")
	}
}

// TestOpenKernel: half of a kernel is none.
func TestOpenKernel(t *testing.T) {
	if _, err := openKernel(KernelPin{}, t.TempDir()); err == nil {
		t.Error("found a kernel in an empty folder")
	}
}

// TestImage: the agent is init, the modules come in their order, files where they should.
func TestImage(t *testing.T) {
	k := fakeKernel(t, map[string]string{"virtio_pci": "virtio", "virtio": "", "virtio_console": "virtio", "igb": ""})
	dir := t.TempDir()
	init := filepath.Join(dir, "guest")
	if err := os.WriteFile(init, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "initrd")
	image := Image{Modules: []string{"igb"}, Files: map[string]string{"bin/afxlb": init}}
	if err := image.write(file, k, "", init); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files, folders := unarchive(t, text)
	for _, name := range []string{"init", "bin/guest", "bin/afxlb"} {
		if string(files[name]) != "the agent" {
			t.Errorf("%s: %q", name, files[name])
		}
	}
	for _, name := range []string{"modules/000-virtio.ko", "modules/001-virtio_pci.ko", "modules/002-virtio_console.ko", "modules/003-igb.ko"} {
		if _, ok := files[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if !slices.Contains(folders, "proc") {
		t.Errorf("folders %q", folders)
	}
	if err := (Image{Modules: []string{"nothing"}}).write(file, k, "", init); err == nil {
		t.Error("made an image without a module that was asked for")
	}
}
