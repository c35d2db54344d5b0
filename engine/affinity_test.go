package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

// TestMain lets the test binary be an ordinary program, for what concerns the whole
// process: the testing package sets GOMAXPROCS, and its threads must stay.
func TestMain(m *testing.M) {
	if os.Getenv("ENGINE_TEST_RESERVE") != "" {
		os.Exit(reserveAndTell())
	}
	if os.Getenv("ENGINE_TEST_ACQUIRE") != "" {
		os.Exit(acquireAndTell())
	}
	os.Exit(m.Run())
}

// reserveAndTell reserves the last CPU while threads are made, and tells the scheduler's processors and all
// threads' CPUs when the runtime has had the time to look at them: once a second
// (sysmon in runtime/proc.go).
func reserveAndTell() int {
	allowed, err := allowedCPUs()
	// More and more threads are made meanwhile: each read blocks one.
	var pipe [2]int
	if err == nil {
		err = syscall.Pipe(pipe[:])
	}
	many := make(chan struct{})
	go func() {
		for i := range 300 {
			go func() { _, _ = syscall.Read(pipe[0], make([]byte, 1)) }()
			if runtime.Gosched(); i == 50 {
				close(many)
			}
		}
	}()
	<-many
	if err == nil {
		err = reserve(allowed[len(allowed)-1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end) && runtime.GOMAXPROCS(0) > 1; {
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println(runtime.GOMAXPROCS(0))
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		tid, err := threadID(t.Name())
		var set unix.CPUSet
		if err == nil && unix.SchedGetaffinity(tid, &set) == nil && set.IsSet(allowed[len(allowed)-1]) {
			fmt.Println("thread", tid, "is on the worker's CPU")
		}
	}
	return 0
}

// The runtime follows the affinity of its threads, and must not conclude that there
// is no processor left for a worker.
func TestReserveLeavesAProcessorForTheWorkers(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	t.Parallel()
	reserveElsewhere(t, nil)
}

// A process in a PID namespace of its own may see another one's /proc.
func TestReserveInAPIDNamespace(t *testing.T) {
	testutil.RequireRoot(t)
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	t.Parallel()
	reserveElsewhere(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID})
}

func reserveElsewhere(t *testing.T, attr *syscall.SysProcAttr) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "ENGINE_TEST_RESERVE=1", "GOMAXPROCS=")
	c.SysProcAttr = attr
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if n, err := strconv.Atoi(lines[0]); err != nil || n < 2 {
		t.Errorf("%s processors for a worker and the rest, want 2 at least", lines[0])
	}
	for _, l := range lines[1:] {
		t.Error(l)
	}
}

func TestPlacement(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	n := len(allowed)
	reversed := make([]int, n)
	for i, c := range allowed {
		reversed[n-1-i] = c
	}
	for name, c := range map[string]struct {
		workers int
		want    []int
		cpus    []int // nil: refused
		problem string
	}{
		"last first":                 {1, nil, reversed[:1], ""},
		"all":                        {n, nil, reversed, ""},
		"more than CPUs":             {n + 1, nil, filled(n+1, -1), ""},
		"as told":                    {n, allowed, allowed, ""},
		"the first of those told":    {1, allowed, allowed[:1], ""},
		"two on one CPU, as told":    {2, []int{allowed[0], allowed[0]}, []int{allowed[0], allowed[0]}, ""},
		"too few told":               {2, allowed[:1], nil, "each needs one"},
		"one that there is not":      {1, []int{1000}, nil, "CPU 1000"},
		"not needed, so not checked": {1, []int{allowed[0], 1000}, allowed[:1], ""},
	} {
		got, err := Placement(c.workers, c.want)
		if !reflect.DeepEqual(got, c.cpus) {
			t.Errorf("%s: %v, want %v", name, got, c.cpus)
		}
		if (err == nil) != (c.problem == "") || err != nil && !(errors.Is(err, ErrPlacement) && strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: error %v, want ErrPlacement with %q", name, err, c.problem)
		}
	}
}

func filled(n, with int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = with
	}
	return s
}

func TestPin(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for _, cpu := range allowed {
		ended := make(chan error)
		go func() { // its thread ends with it
			err := pin(cpu, nil)
			var set unix.CPUSet
			if err == nil {
				err = unix.SchedGetaffinity(0, &set)
			}
			if err == nil && (set.Count() != 1 || !set.IsSet(cpu)) {
				err = fmt.Errorf("the thread may run on %d CPUs", set.Count())
			}
			ended <- err
		}()
		if err := <-ended; err != nil {
			t.Errorf("CPU %d: %v", cpu, err)
		}
	}
	// Without a CPU of its own a thread has all that there were, wherever it came from.
	ended := make(chan error)
	go func() {
		err := pin(allowed[0], nil)
		if err == nil {
			err = pin(-1, allowed)
		}
		var set unix.CPUSet
		if err == nil {
			err = unix.SchedGetaffinity(0, &set)
		}
		if err == nil && set.Count() != len(allowed) {
			err = fmt.Errorf("the thread may run on %d CPUs of %d", set.Count(), len(allowed))
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	go func() { ended <- pin(1000, nil) }()
	if err := <-ended; err == nil {
		t.Error("pinned to CPU 1000")
	}
}

func TestNewRefusesWhatCannotRun(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
	}{
		"too few CPUs": {Config{Interfaces: []string{"eth0"}, Queues: []int{0, 1}, CPUs: []int{0}}},
		"no such CPU":  {Config{Interfaces: []string{"eth0"}, Queues: []int{0}, CPUs: []int{1000}}},
	} {
		if e, err := New(c.config); !errors.Is(err, ErrPlacement) || e != nil {
			t.Errorf("%s: %v, %v; ErrPlacement wanted", name, e, err)
		}
	}
}
