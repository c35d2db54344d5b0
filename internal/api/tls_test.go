package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// sign returns a certificate for a use, until a time, and its key.
func (a *authority) sign(name string, use x509.ExtKeyUsage, until time.Time) (cert, key []byte) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{use}, NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b})
}

// client returns a client's certificate.
func (a *authority) client(use x509.ExtKeyUsage, until time.Time) []tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair(a.sign("client", use, until))
	if err != nil {
		a.t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

// files writes what a server needs, for clients that clients signs.
func (a *authority) files(dir, name string, clients *authority) TLS {
	a.t.Helper()
	o := TLS{Address: "127.0.0.1:0", Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}
	cert, key := a.sign(name, x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	for path, text := range map[string][]byte{o.Cert: cert, o.Key: key, o.ClientCA: clients.pem} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return o
}

// Clients with a certificate of ours may all, and others nothing.
func TestTLS(t *testing.T) {
	ours, another := newAuthority(t), newAuthority(t)
	l, err := ListenTLS(ours.files(t.TempDir(), "server", ours))
	if err != nil {
		t.Fatal(err)
	}
	serveBy(t, l, fixed{}, nop)
	later, over := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		config *tls.Config
		want   string // of the error; empty: it may
	}{
		"ours":             {&tls.Config{Certificates: ours.client(x509.ExtKeyUsageClientAuth, later)}, ""},
		"none":             {&tls.Config{}, "certificate required"},
		"expired":          {&tls.Config{Certificates: ours.client(x509.ExtKeyUsageClientAuth, over)}, "expired certificate"},
		"of another":       {&tls.Config{GetClientCertificate: always(another.client(x509.ExtKeyUsageClientAuth, later))}, "unknown certificate authority"},
		"of a server":      {&tls.Config{Certificates: ours.client(x509.ExtKeyUsageServerAuth, later)}, "bad certificate"},
		"an old version":   {&tls.Config{Certificates: ours.client(x509.ExtKeyUsageClientAuth, later), MaxVersion: tls.VersionTLS12}, "protocol version"},
		"a strange server": {&tls.Config{RootCAs: another.pool(), Certificates: ours.client(x509.ExtKeyUsageClientAuth, later)}, "unknown authority"},
	} {
		if c.config.RootCAs == nil {
			c.config.RootCAs = ours.pool()
		}
		client := NewTLSClient(l.Addr().String(), c.config)
		_, err := client.Status(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := client.Reload(t.Context()); (err == nil) != (c.want == "") {
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
	ours, next, dir := newAuthority(t), newAuthority(t), t.TempDir()
	o := ours.files(dir, "first", ours)
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
	ours.files(dir, "second", next)
	touch(o.Cert, 2)
	if got := name(); got != "second" || !f.current().ClientCAs.Equal(next.pool()) {
		t.Errorf("then it is %s", got)
	}
}

func TestTLSFilesThatAreWrong(t *testing.T) {
	ours := newAuthority(t)
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
		o := ours.files(t.TempDir(), "server", ours)
		c.spoil(&o)
		if l, err := ListenTLS(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, l, err, c.want)
		}
	}
}
