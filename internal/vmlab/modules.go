package vmlab

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is one kernel module, unpacked.
type module struct {
	name string
	text []byte
}

// moduleSet finds modules of a kernel by name.
type moduleSet struct {
	files   map[string]string
	builtin map[string]bool
	xz      func(file string) ([]byte, error)
}

func (k *Kernel) moduleSet(tools string) (*moduleSet, error) {
	s := &moduleSet{files: map[string]string{}, builtin: map[string]bool{}}
	s.xz = func(file string) ([]byte, error) {
		c := exec.Command(filepath.Join(tools, "usr/bin/xz"), "-dc", file)
		c.Env = append(os.Environ(), libraries(tools))
		text, err := run(c)
		return []byte(text), err
	}
	err := filepath.WalkDir(filepath.Join(k.modules, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			s.files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the modules of %s: %w", k.Release, err)
	}
	list, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list what is built into %s: %w", k.Release, err)
	}
	for line := range strings.Lines(string(list)) {
		s.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return s, nil
}

// moduleName is the kernel's name of the module in a file: my-mod.ko.xz is my_mod.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// closure returns modules and all that they depend on, in an order in which they can
// be loaded. What is built in is left out.
func (s *moduleSet) closure(names ...string) ([]module, error) {
	var list []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		if seen[name] || s.builtin[name] {
			return nil
		}
		seen[name] = true
		file, ok := s.files[name]
		if !ok {
			return fmt.Errorf("module %s: this kernel has none", name)
		}
		text, err := s.read(file)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		needs, err := depends(text)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return fmt.Errorf("%w (%s needs it)", err, name)
			}
		}
		list = append(list, module{name, text})
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *moduleSet) read(file string) ([]byte, error) {
	if strings.HasSuffix(file, ".xz") {
		return s.xz(file)
	}
	return os.ReadFile(file)
}

// depends reads the names of the modules that one needs from its section .modinfo, as
// depmod(8) does.
func depends(text []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return dependsOf(info), nil
}

func dependsOf(modinfo []byte) []string {
	for entry := range bytes.SplitSeq(modinfo, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ",")
		}
	}
	return nil
}
