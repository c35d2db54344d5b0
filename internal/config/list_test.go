package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseQueues(t *testing.T) {
	for text, want := range map[string]QueueList{
		"all": nil, " all ": nil,
		"0": {0}, "0-3": {0, 1, 2, 3}, "0,2,5-7": {0, 2, 5, 6, 7}, "7-7": {7},
		"5-6, 0 ,2": {5, 6, 0, 2}, "3,1": {3, 1}, "8191": {8191},
	} {
		if got, err := ParseQueues(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseQueues(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                    `"" is neither a number up to 8191 nor a range`,
		"ALL":                 `"ALL" is neither`,
		"0,":                  `"" is neither`,
		"-1":                  `"-1" is neither`,
		"1-":                  `"1-" is neither`,
		"1-2-3":               `"1-2-3" is neither`,
		"0x1":                 `"0x1" is neither`,
		"8192":                `"8192" is neither`,
		"0-99999999999999999": `"0-99999999999999999" is neither`,
		"3-1":                 "range 3-1 runs backwards",
		"1,0-2":               "queue 1 is named twice",
		"all,1":               `"all" is neither`,
	} {
		got, err := ParseQueues(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "; want queues as in 0-3, 0,2,5-7 or all") {
			t.Errorf("ParseQueues(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestCPUsKeepTheirOrder(t *testing.T) {
	got, err := ParseCPUs("4,2,8-9,3")
	if want := (CPUList{4, 2, 8, 9, 3}); err != nil || !slices.Equal(got, want) || got.String() != "4,2,8-9,3" {
		t.Errorf("ParseCPUs = %v, %v; want %v", got, err, want)
	}
	if got, err := ParseCPUs("all"); err == nil {
		t.Errorf("ParseCPUs(all) = %v, want an error: which CPU is whose?", got)
	}
}

// TestListsPrintWhatTheyRead: String is the inverse of Parse, the order is kept,
// and each range is said in one piece.
func TestListsPrintWhatTheyRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 1, 30, rapid.ID).Draw(t, "list")
		cpus, err := ParseCPUs(CPUList(list).String())
		if err != nil || !slices.Equal(cpus, list) {
			t.Fatalf("%v prints as %q, reads as %v, %v", list, CPUList(list), cpus, err)
		}
		queues, err := ParseQueues(QueueList(list).String())
		if err != nil || !slices.Equal(queues, list) {
			t.Fatalf("%v prints as %q, reads as %v, %v", list, QueueList(list), queues, err)
		}
		queues, err = ParseQueues(strings.Trim(fmt.Sprint(list), "[]"))
		if err == nil && len(list) > 1 {
			t.Fatalf("blanks between numbers were accepted: %v", queues)
		}
		runs := 1
		for i := 1; i < len(list); i++ {
			if list[i] != list[i-1]+1 {
				runs++
			}
		}
		if parts := strings.Count(QueueList(list).String(), ",") + 1; parts != runs {
			t.Fatalf("%v prints as %q: %d parts, want %d", list, QueueList(list), parts, runs)
		}
	})
}

// TestQueuesAndCPUsStayPairs: worker i serves the i-th queue on the i-th CPU, so
// what is written one below the other belongs together.
func TestQueuesAndCPUsStayPairs(t *testing.T) {
	c, err := Parse("f", []byte("queues: 3,1\ncpus:   5,7\nservices: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Queues, []int{3, 1}) || !slices.Equal(c.CPUs, []int{5, 7}) {
		t.Errorf("queues %v on CPUs %v; want queue 3 on CPU 5 and queue 1 on CPU 7", c.Queues, c.CPUs)
	}
}

// TestFlagValues uses the types as the command line does: a bad argument leaves
// the value alone.
func TestFlagValues(t *testing.T) {
	type flag interface {
		Set(string) error
		String() string
		Type() string
	}
	queues, cpus, interfaces := QueueList{1}, CPUList{1}, InterfaceList{"eth7"}
	mode, driver, poll := XDPAuto, DriverNative, PollAdaptive
	for _, test := range []struct {
		flag            flag
		good, bad, kind string
	}{
		{&queues, "0-2", "x", "queues"},
		{&interfaces, "eth0,eth1", "eth0,eth0", "interfaces"},
		{&cpus, "3,1", "x", "cpus"},
		{&mode, "generic", "Auto", "mode"},
		{&driver, "asavie", "x", "driver"},
		{&poll, "busy", "", "poll"},
	} {
		if err := test.flag.Set(test.good); err != nil {
			t.Errorf("%s %s: %v", test.kind, test.good, err)
		}
		if err := test.flag.Set(test.bad); err == nil {
			t.Errorf("%s %q was accepted", test.kind, test.bad)
		}
		if test.flag.String() != test.good || test.flag.Type() != test.kind {
			t.Errorf("got %s %q, want %s %q", test.flag.Type(), test.flag, test.kind, test.good)
		}
	}
}
