package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// curlEnv has the process stand in for curl, which need not be where the tests run.
const curlEnv = "AFXLB_TEST_CURL"

// curl does what curl(1) does with the flags that examples have, until it is interrupted.
func curl(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
	defer stop()
	method, socket, url := http.MethodGet, "", ""
	header, data := http.Header{}, []byte(nil)
	for len(args) > 0 {
		switch flag := args[0]; {
		case flag == "-N" || flag == "-s":
		case flag[0] != '-':
			url = flag
		case len(args) == 1:
			return fmt.Errorf("curl %s: of what?", flag)
		case flag == "-X":
			method, args = args[1], args[1:]
		case flag == "--unix-socket":
			socket, args = args[1], args[1:]
		case flag == "-H":
			name, value, _ := strings.Cut(args[1], ":")
			header.Set(name, strings.TrimSpace(value))
			args = args[1:]
		case flag == "-d" || flag == "--data-binary":
			data = []byte(args[1])
			if path, ok := strings.CutPrefix(args[1], "@"); ok {
				var err error
				if data, err = os.ReadFile(path); err != nil {
					return err
				}
			}
			method, args = http.MethodPost, args[1:]
		default:
			return fmt.Errorf("curl %s: not known to the stand-in for curl", flag)
		}
		args = args[1:]
	}
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	q, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	q.Header = header
	a, err := c.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if _, err := io.Copy(os.Stdout, a.Body); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if a.StatusCode != http.StatusOK { // unlike curl
		return fmt.Errorf("%s %s: %s", method, url, a.Status)
	}
	return nil
}
