package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
)

// Of the causes for which there is no reload each has its kind, whether it was only asked
// what it would do or not.
func TestReloadsThatFail(t *testing.T) {
	text := &ConfigText{"f", []byte("services: []")}
	for name, test := range map[string]struct {
		err             error
		config, machine bool
	}{
		"wrong":   {ConfigError{errors.New("f:3: no port")}, true, false},
		"no room": {MachineError{errors.New("f:3: no port")}, false, true},
		"else":    {errors.New("f:3: no port"), false, false},
	} {
		c := serve(t, failing{err: test.err})
		_, reload := c.Reload(t.Context())
		_, dry := c.Preview(t.Context(), nil)
		_, plan := c.Preview(t.Context(), text)
		for _, err := range []error{reload, dry, plan} {
			if errors.As(err, new(ConfigError)) != test.config || errors.As(err, new(MachineError)) != test.machine || !strings.Contains(err.Error(), "f:3: no port") {
				t.Errorf("%s: %T %v", name, err, err)
			}
		}
	}
}

// planner is a Source that counts what is planned.
type planner struct {
	fixed
	planned *int
}

func (p planner) Preview(_ context.Context, text *ConfigText) (Reload, error) {
	*p.planned++
	return planned(text), nil
}

// While one client's config is read, which may be large and slow, another one's is not; it
// waits for a while, and what others ask is answered.
func TestPlansWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		h := handlerOf(planner{planned: &n}, anybody)
		post := func(body io.Reader) *httptest.ResponseRecorder {
			r := httptest.NewRecorder()
			h.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/v1/plan", body))
			return r
		}
		half, rest := io.Pipe()
		slow := make(chan *httptest.ResponseRecorder)
		go func() { slow <- post(half) }()
		_, _ = rest.Write([]byte("services: "))
		synctest.Wait()
		second := &measured{Reader: strings.NewReader("services: []")}
		if r := post(second); r.Code != http.StatusServiceUnavailable || second.read != 0 || r.Header().Get("Connection") != "close" {
			t.Errorf("the second one: %d %s, %d bytes of it were read", r.Code, r.Body, second.read)
		}
		if r := answerTo(fixed{}, "get", "/v1/status"); r.Code != http.StatusOK {
			t.Errorf("a status meanwhile: %d", r.Code)
		}
		third := make(chan *httptest.ResponseRecorder)
		go func() { third <- post(strings.NewReader("services: []")) }()
		synctest.Wait()
		_, _ = rest.Write([]byte("[]"))
		rest.Close()
		for _, c := range []chan *httptest.ResponseRecorder{slow, third} {
			if r := <-c; r.Code != http.StatusOK || !bytes.Contains(r.Body.Bytes(), []byte("services: []")) {
				t.Errorf("one whose turn came: %d %s", r.Code, r.Body)
			}
		}
		if n != 2 {
			t.Errorf("%d were planned, want 2", n)
		}
	})
}

// measured counts what is read of it.
type measured struct {
	io.Reader
	read int
}

func (c *measured) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.read += n
	return n, err
}
