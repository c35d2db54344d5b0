package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// requestTimeout bounds one connection; a retransmitted SYN fits in.
const requestTimeout = 5 * time.Second

// request makes a new connection to a service, asks for / on it, and returns which
// backend answered.
func request(ctx context.Context, from *lab.Host, s *service) (backend int, err error) {
	backend, c, err := open(ctx, from, s)
	if err == nil {
		c.Close()
	}
	return backend, err
}

// open is request with the connection left open; it is the caller's.
func open(ctx context.Context, from *lab.Host, s *service) (backend int, c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if c, err = from.Dial(ctx, "tcp", s.vip.String()); err != nil {
		return -1, nil, err
	}
	release := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	backend, err = ask(c, s.vip.String())
	if !release() && err == nil {
		err = ctx.Err() // the deadline stays
	}
	if err != nil {
		c.Close()
		return -1, nil, fmt.Errorf("ask %v: %w", s.vip, err)
	}
	return backend, c, nil
}

// ask asks for / and returns which backend answers.
func ask(c net.Conn, host string) (backend int, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return -1, err
	}
	if err := req.Write(c); err != nil {
		return -1, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return -1, err
	}
	defer res.Body.Close()
	name, err := io.ReadAll(res.Body)
	if err != nil {
		return -1, err
	}
	for i := range backends {
		if backends[i].name == string(name) {
			return i, nil
		}
	}
	return -1, fmt.Errorf("answered by %q with %s, want one of the backends", name, res.Status)
}
