package api

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/testutil"
)

// client returns a client's certificate.
func client(t *testing.T, a *testutil.Authority, use x509.ExtKeyUsage, until time.Time) []tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Sign("client", use, until))
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

// files writes what a server needs, for clients that another authority signs.
func files(t *testing.T, a *testutil.Authority, dir, name string, clients *testutil.Authority) TLS {
	t.Helper()
	o := TLS{Address: "127.0.0.1:0", Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}
	cert, key := a.Sign(name, x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	for path, text := range map[string][]byte{o.Cert: cert, o.Key: key, o.ClientCA: clients.PEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// Clients with a certificate of ours may all, and others nothing.
func TestTLS(t *testing.T) {
	ours, another := testutil.NewAuthority(t), testutil.NewAuthority(t)
	l, err := ListenTLS(files(t, ours, t.TempDir(), "server", ours))
	if err != nil {
		t.Fatal(err)
	}
	serveBy(t, l, fixed{}, nop)
	later, over := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		config *tls.Config
		want   string // of the error; empty: it may
	}{
		"ours":             {&tls.Config{Certificates: client(t, ours, x509.ExtKeyUsageClientAuth, later)}, ""},
		"none":             {&tls.Config{}, "certificate required"},
		"expired":          {&tls.Config{Certificates: client(t, ours, x509.ExtKeyUsageClientAuth, over)}, "expired certificate"},
		"of another":       {&tls.Config{GetClientCertificate: always(client(t, another, x509.ExtKeyUsageClientAuth, later))}, "unknown certificate authority"},
		"of a server":      {&tls.Config{Certificates: client(t, ours, x509.ExtKeyUsageServerAuth, later)}, "bad certificate"},
		"an old version":   {&tls.Config{Certificates: client(t, ours, x509.ExtKeyUsageClientAuth, later), MaxVersion: tls.VersionTLS12}, "protocol version"},
		"a strange server": {&tls.Config{RootCAs: another.Pool(), Certificates: client(t, ours, x509.ExtKeyUsageClientAuth, later)}, "unknown authority"},
	} {
		if c.config.RootCAs == nil {
			c.config.RootCAs = ours.Pool()
		}
		asks := NewTLSClient(l.Addr().String(), c.config)
		_, err := asks.Status(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := asks.Reload(t.Context()); (err == nil) != (c.want == "") {
			t.Errorf("%s: a reload: %v", name, err)
		}
	}
	plain, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	question(t, plain, "/v1/status")
	if b, _ := io.ReadAll(plain); bytes.Contains(b, []byte("200 OK")) || bytes.Contains(b, []byte("serving")) {
		t.Errorf("without TLS the answer is %q", b)
	}
}

// always has a client show a certificate that the server has not asked for.
func always(list []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &list[0], nil }
}

// A certificate that is renewed is used from then on, and a file that is wrong meanwhile
// changes nothing.
func TestTLSFilesChange(t *testing.T) {
	ours, next, dir := testutil.NewAuthority(t), testutil.NewAuthority(t), t.TempDir()
	o := files(t, ours, dir, "first", ours)
	f := &certified{TLS: o}
	if err := f.read(); err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		leaf, err := x509.ParseCertificate(f.current().Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	touch := func(path string, minutes int) {
		t.Helper()
		at := time.Now().Add(time.Duration(minutes) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := name(); got != "first" {
		t.Errorf("at first it is %s", got)
	}
	if err := os.WriteFile(o.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(o.Cert, 1)
	if got := name(); got != "first" {
		t.Errorf("with half a file it is %s", got)
	}
	files(t, ours, dir, "second", next)
	touch(o.Cert, 2)
	if got := name(); got != "second" || !f.current().ClientCAs.Equal(next.Pool()) {
		t.Errorf("then it is %s", got)
	}
}

func TestTLSFilesThatAreWrong(t *testing.T) {
	ours := testutil.NewAuthority(t)
	for name, c := range map[string]struct {
		spoil func(o *TLS)
		want  string
	}{
		"no certificate": {func(o *TLS) { o.Cert = "/nonexistent.pem" }, "/nonexistent.pem"},
		"no key":         {func(o *TLS) { o.Key = o.ClientCA }, "key"},
		"no signer":      {func(o *TLS) { o.ClientCA = "/nonexistent.pem" }, "/nonexistent.pem"},
		"empty signer":   {func(o *TLS) { o.ClientCA = os.DevNull }, "no certificate in PEM"},
		"no address":     {func(o *TLS) { o.Address = "192.0.2.1:1" }, "192.0.2.1:1"},
	} {
		o := files(t, ours, t.TempDir(), "server", ours)
		c.spoil(&o)
		if l, err := ListenTLS(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, l, err, c.want)
		}
	}
}
