package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/testutil"
)

// The API by TLS, from another machine: with a certificate the answer is as by the control
// socket, and without one there is none.
func TestFieldAPIByTLS(t *testing.T) {
	w := newWorld(t)
	ours, later := testutil.NewAuthority(t), time.Now().Add(time.Hour)
	cert, key := ours.Sign("balancer", x509.ExtKeyUsageServerAuth, later, own4.AsSlice())
	files := map[string][]byte{"cert": cert, "key": key, "client-ca": ours.PEM}
	keys := ""
	for name, text := range files {
		path := filepath.Join(w.dir, name+".pem")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keys += fmt.Sprintf(", %s: %s", name, path)
	}
	at := fmt.Sprintf("%v:9191", own4)
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), fmt.Sprintf("api: {listen: %q%s}\n", at, keys)))
	ask := func(config *tls.Config, method, path string) (status string, err error) {
		raw, err := w.lab.Backends[0].Dial(t.Context(), "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		config.RootCAs, config.ServerName = ours.Pool(), own4.String()
		c := tls.Client(raw, config)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path); err != nil {
			return "", err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return "", err
		}
		return res.Status, nil
	}
	pair, err := tls.X509KeyPair(ours.Sign("client", x509.ExtKeyUsageClientAuth, later))
	if err != nil {
		t.Fatal(err)
	}
	for method, path := range map[string]string{"GET": "/v1/backends?service=web", "POST": "/v1/reload"} {
		if status, err := ask(&tls.Config{Certificates: []tls.Certificate{pair}}, method, path); status != "200 OK" {
			t.Errorf("%s %s: %s, %v", method, path, status, err)
		}
		if status, err := ask(&tls.Config{}, method, path); err == nil {
			t.Errorf("without a certificate: %s %s: %s", method, path, status)
		}
	}
	w.mustAnswer(6, natVIP4)
	p.stop()
}
