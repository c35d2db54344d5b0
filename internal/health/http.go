package health

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
)

// maxAnswer bounds what is read of an answer, headers and body together.
const maxAnswer = 256 << 10

// successful is what a status is held against if the config does not say.
var successful = []balancer.StatusRange{{First: 200, Last: 399}}

// askHTTP sends one GET over conn and judges the answer. It speaks HTTP/1.1 on
// the bare connection rather than through http.Client, and so has by nature what
// a probe wants: no proxy, no redirect followed, no connection kept, no retry,
// and the path sent as it stands in the config. Neither path nor host can break
// out of its line: balancer.Spec.Validate refuses blanks and control characters.
func askHTTP(conn net.Conn, t Target) error {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: afxlb-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		t.Spec.Path, cmp.Or(t.Spec.Host, t.Address.String()))
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	a := &answer{conn: conn, left: maxAnswer}
	err = judge(a, &t.Spec)
	switch {
	case err == nil:
		return nil
	case a.left == 0:
		return fmt.Errorf("%w (only the first %d KiB of the answer are read)", err, maxAnswer>>10)
	case a.end != nil && a.end != io.EOF:
		return fmt.Errorf("read answer: %w", a.end) // what it did to the parser says less
	}
	return err
}

// answer is a reader of what a server sends, up to a limit.
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
	a.left -= n
	a.end = err
	return n, err
}

// judge reads the answer and holds it against what is expected. It leaves the
// body open: closing it would read it to its end, and the connection is closed
// next.
func judge(a io.Reader, spec *balancer.HealthSpec) error {
	response, err := finalResponse(bufio.NewReader(a))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	expect := spec.Expect
	if len(expect) == 0 {
		expect = successful
	}
	if !slices.ContainsFunc(expect, func(r balancer.StatusRange) bool {
		return r.First <= response.StatusCode && response.StatusCode <= r.Last
	}) {
		return fmt.Errorf("status %d, want %s", response.StatusCode, format(expect))
	}
	return contains(response.Body, spec.Body)
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

func format(ranges []balancer.StatusRange) string {
	var parts []string
	for _, r := range ranges {
		if r.First == r.Last {
			parts = append(parts, fmt.Sprint(r.First))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return strings.Join(parts, ", ")
}
