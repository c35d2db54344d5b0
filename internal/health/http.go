package health

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// maxAnswer bounds what is looked at of an answer, headers and body together.
const maxAnswer = 256 << 10

// errMalformed stands for all that can be wrong with an answer's headers. It does not
// quote them: what is no HTTP, such as a mail server's greeting, may have the time of
// day in it.
var errMalformed = errors.New("malformed HTTP response")

// askHTTP sends one GET over conn, judges the answer and returns what is left of it; nil
// if there is nothing to wait for. It speaks HTTP/1.1 on the bare connection rather than
// through http.Client, and so has by nature what a probe wants: no proxy, no redirect
// followed, no connection kept, no retry, and the path sent as it stands in the config.
// Neither path nor host can break out of its line: balancer.Spec.Validate refuses blanks
// and control characters.
func askHTTP(conn net.Conn, t Target) (rest io.Reader, err error) {
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: afxlb-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		t.Path, cmp.Or(t.Host, t.Address.String()))
	if err != nil && !isReset(err) { // before a reset there may have been an answer
		return nil, fmt.Errorf("send request: %w", withoutSource(err))
	}
	a := &answer{conn: conn, left: maxAnswer}
	rest, err = judge(a, t)
	switch {
	case err == nil:
	case a.left == 0:
		return conn, fmt.Errorf("%w (only the first %d KiB of the answer are read)", err, maxAnswer>>10)
	case a.end != nil && a.end != io.EOF:
		return nil, fmt.Errorf("read answer: %w", a.end) // what it did to the parser says less
	}
	a.left = maxRest // which is not looked at
	return rest, err
}

// isReset reports whether err says that the peer is gone.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// answer is a reader of what a server sends, up to a limit. A reset is an end like
// any other that comes too early: which of the two a server's close amounts to is up
// to when the request arrives.
type answer struct {
	conn io.Reader
	left int
	end  error // why reading ended, if it did
}

func (a *answer) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.conn.Read(p[:min(len(p), a.left)])
	if isReset(err) {
		err = io.ErrUnexpectedEOF
	}
	a.left -= n
	a.end = withoutSource(err)
	return n, err
}

// judge reads the answer and holds it against what is expected. It returns the rest
// of the body, if it came so far.
func judge(a *answer, t Target) (rest io.Reader, err error) {
	response, err := finalResponse(bufio.NewReader(a))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read answer: %w", err)
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", errMalformed)
	case !expects(t.Expect, response.StatusCode):
		return response.Body, fmt.Errorf("status %d, want %s", response.StatusCode, t.Expect)
	}
	return response.Body, contains(response.Body, t.Body)
}

// finalResponse reads up to the first response that is not informational (RFC
// 9110, 15.2). Those that end the exchange of HTTP, as 101 does, are final.
func finalResponse(r *bufio.Reader) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(r, nil) // nil: the answer to a GET
		if err != nil {
			return nil, err
		}
		if s := response.StatusCode; s >= 200 || s < 100 || s == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
}

// contains reads body until want has come by, and no further.
func contains(body io.Reader, want string) error {
	if want == "" {
		return nil
	}
	var (
		read  []byte
		chunk [4096]byte
	)
	for {
		n, err := body.Read(chunk[:])
		overlap := max(len(read)-len(want)+1, 0) // want may begin in what was read before
		read = append(read, chunk[:n]...)
		switch {
		case bytes.Contains(read[overlap:], []byte(want)):
			return nil
		case err == io.EOF:
			return fmt.Errorf("body without %q", want)
		case err != nil:
			return fmt.Errorf("read body without %q so far: %w", want, err)
		}
	}
}
