package api

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listenHere makes the test binary a process that has the control socket at the path of
// this environment variable until it is killed.
const listenHere = "AFXLB_TEST_LISTEN"

func listenForEver(path string) {
	if _, err := Listen(path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	select {}
}

func TestListenReplacesAKilledBalancersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), listenHere+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "listening" {
		t.Errorf("the other process: %q, %v", line, err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("while it lives: %v, want ErrInUse", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	alone(t, path, "afxlb.sock", "afxlb.sock.lock")

	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := reaches(path, l); err != nil {
		t.Error(err)
	}
	l.Close()
	alone(t, path)
}
