//go:build tools

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
)

// The binary serves in an image of which it is the only file, with the capabilities that the
// recipe names: those of the unit.
func TestToolsContainer(t *testing.T) {
	recipe := readText(t, "../../packaging/Containerfile")
	run, _, _ := strings.Cut(recipe, "Where memlock can't be raised")
	var list []string
	for _, m := range regexp.MustCompile(`--cap-add (\w+)`).FindAllStringSubmatch(run, -1) {
		n, known := capabilityNumbers["CAP_"+m[1]]
		if !known {
			t.Fatalf("the recipe's %s is not known here", m[1])
		}
		list = append(list, strconv.Itoa(n))
	}
	if unit := strings.Split(unitCapabilities(t, ""), ","); !slices.Equal(list, unit) {
		t.Errorf("the recipe has the capabilities %v, and the unit %v", list, unit)
	}
	if !regexp.MustCompile(`(?s)FROM scratch\nCOPY --from=build /afxlb /afxlb\nENTRYPOINT \["/afxlb"\]\n$`).MatchString(recipe) {
		t.Error("the recipe's image is another one than what is tried here")
	}

	w := newWorld(t)
	image := filepath.Join(w.dir, "image")
	for _, dir := range []string{"etc/afxlb", "proc", "sys", "dev/net"} {
		if err := os.MkdirAll(filepath.Join(image, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.writeConfig("image/etc/afxlb/afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth))
	w.writeConfig("image/dev/net/tun") // to be mounted on
	build := regexp.MustCompile(`RUN (.* go build .*) -o /afxlb (\S+)\n`).FindStringSubmatch(recipe)
	if build == nil {
		t.Fatal("the recipe does not build")
	}
	c := exec.Command("bash", "-c", fmt.Sprintf("%s -o %s/afxlb %s", build[1], image, build[2]))
	c.Dir = "../.."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build[0], err, out)
	}

	w.setenv(capabilitiesEnv, strings.Join(list, ","))
	w.setenv(imageEnv, image)
	p := w.newProcess(&syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS})
	p.Args = []string{"/afxlb"} // as in the image: no arguments
	p.api = api.NewClient(filepath.Join(image, "run/afxlb/afxlb.sock"))
	p.launch(w, nil)
	p.await("serve", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
	w.mustAnswer(4, natVIP4)
	p.stop()
}
