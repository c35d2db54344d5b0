package demo

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestHolders(t *testing.T) {
	testutil.RequireRoot(t)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if list := holders([]string{own}); !slices.Contains(list, "/proc/self/task/"+strconv.Itoa(os.Getpid())+"/ns/net") {
		t.Errorf("in this process's own namespace: %q", list)
	}
	if list := holders([]string{"net:[1]"}); list != nil {
		t.Errorf("in a namespace that does not exist: %q", list)
	}
	l, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ids, err := namespacesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 4 || slices.Contains(ids, own) {
		t.Errorf("the lab's four namespaces are %q", ids)
	}
	if holders(ids) == nil {
		t.Error("nobody holds the lab's namespaces, with the lab there")
	}
}
