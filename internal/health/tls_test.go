package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// authority signs certificates of servers.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a := &authority{t: t, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	must(t, err)
	must(t, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return a
}

// sign returns a server's certificate.
func (a *authority) sign(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsServer says what a client asked for and how it left.
type tlsServer struct {
	address string
	names   chan string // SNI of each
	left    chan error  // nil: by close_notify and FIN
}

func newTLSServer(t *testing.T, config *tls.Config) *tlsServer {
	t.Helper()
	s := &tlsServer{names: make(chan string, 10), left: make(chan error, 10)}
	s.address = listen(t, func(bare net.Conn) {
		c := tls.Server(bare, config)
		if err := c.Handshake(); err != nil {
			_, rerr := io.Copy(io.Discard, bare)
			s.left <- errors.Join(err, rerr)
			return
		}
		s.names <- c.ConnectionState().ServerName
		readRequest(c)
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello"+strings.Repeat("x", 4995))
		_, rerr := io.Copy(io.Discard, c) // ends by close_notify
		_, berr := io.Copy(io.Discard, bare)
		s.left <- errors.Join(err, rerr, berr, socketError(bare))
	})
	return s
}

// Certificates are believed for their names and signers, and what is wrong with one is named.
func TestHTTPS(t *testing.T) {
	ca, other := newAuthority(t, "the right one"), newAuthority(t, "another")
	good := ca.sign(func(*x509.Certificate) {})
	for _, test := range []struct {
		name string
		cert tls.Certificate
		spec balancer.HealthSpec
		want string
		sni  string
	}{
		{"by address", good, balancer.HealthSpec{CA: ca.file, Body: "hello"}, "", ""},
		{"by name", good, balancer.HealthSpec{CA: ca.file, Host: "www.example.com"}, "", "www.example.com"},
		{"by name and port", good, balancer.HealthSpec{CA: ca.file, Host: "www.example.com:8443"}, "", "www.example.com"},
		{"status", good, balancer.HealthSpec{CA: ca.file, Expect: codes(404, 404)}, "status 200, want 404", ""},
		{"insecure", good, balancer.HealthSpec{Insecure: true, Host: "other.example.com"}, "", "other.example.com"},
		{"another name", good, balancer.HealthSpec{CA: ca.file, Host: "other.example.com"}, `the certificate is not of other.example.com, but of "www.example.com, 127.0.0.1"`, ""},
		{"another signer", good, balancer.HealthSpec{CA: other.file}, `the certificate is signed by "CN=the right one", who is unknown`, ""},
		{"nobody known", good, balancer.HealthSpec{}, `the certificate is signed by "CN=the right one", who is unknown`, ""},
		{"expired", ca.sign(func(c *x509.Certificate) { c.NotAfter = time.Unix(1e9, 0) }), balancer.HealthSpec{CA: ca.file}, "the certificate has expired on 2001-09-09 01:46:40", ""},
		{"expired, insecure", ca.sign(func(c *x509.Certificate) { c.NotAfter = time.Unix(1e9, 0) }), balancer.HealthSpec{Insecure: true}, "", ""},
		{"not yet", ca.sign(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Unix(4e9, 0), time.Unix(5e9, 0) }), balancer.HealthSpec{CA: ca.file},
			"the certificate is not valid before 2096-10-02 07:06:40", ""},
		{"for clients", ca.sign(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), balancer.HealthSpec{CA: ca.file}, "the certificate is bad: ", ""},
		{"many names", ca.sign(func(c *x509.Certificate) {
			c.DNSNames = nil
			for i := range 1000 {
				c.DNSNames = append(c.DNSNames, fmt.Sprint("a", i, ".example.com"))
			}
		}), balancer.HealthSpec{CA: ca.file, Host: "x"}, "…\"", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{test.cert}})
			spec := test.spec
			spec.Type, spec.Timeout = balancer.HealthHTTPS, patient
			r := probeOnce(t, s.address, spec)
			if check(t, r, test.want); r.Local {
				t.Errorf("local: %v", r.Err)
			}
			if r.Err != nil && len(r.Err.Error()) > 300 {
				t.Errorf("a text of %d bytes", len(r.Err.Error()))
			}
			left := <-s.left
			if r.Err != nil && strings.HasPrefix(r.Err.Error(), "the certificate ") {
				if left == nil || !strings.Contains(left.Error(), "tls: ") || strings.Contains(left.Error(), "reset") {
					t.Errorf("the server was told %v", left)
				}
				return
			}
			if sni := <-s.names; left != nil || test.sni != sni {
				t.Errorf("asked for %q, and it left by %v", sni, left)
			}
		})
	}
}

// What is no TLS, or no certificate, is named; a file that can't be read is the balancer's own trouble.
func TestHTTPSRubbish(t *testing.T) {
	rubbish := func(text string) string {
		return listen(t, func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c)
		})
	}
	for text, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n": "TLS handshake: tls: first record does not look like a TLS handshake",
		"\x15\x03\x03\x00\x02\x02\x28":     "TLS handshake: remote error: tls: handshake failure",
		"\x16\x03\x03\x00\x05\x02\xff\xff\xff\x00" + strings.Repeat("\x16\x03\x03\x3f\xff"+strings.Repeat("x", 0x3fff), 20): "TLS handshake: ",
	} {
		spec := balancer.HealthSpec{Type: balancer.HealthHTTPS, Timeout: patient, Insecure: true}
		check(t, probeOnce(t, rubbish(text), spec), want)
	}
	hangsUp := listen(t, func(net.Conn) {})
	if r := probeOnce(t, hangsUp, balancer.HealthSpec{Type: balancer.HealthHTTPS, Timeout: patient}); r.Err == nil || r.Local {
		t.Errorf("%+v", r)
	}
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	check(t, probeOnce(t, silent, balancer.HealthSpec{Type: balancer.HealthHTTPS, Timeout: hasty}), "no answer within 50ms: TLS handshake: ")
	empty := filepath.Join(t.TempDir(), "ca.pem")
	for _, want := range []string{"no such file", "has no certificate in PEM"} {
		r := probeOnce(t, silent, balancer.HealthSpec{Type: balancer.HealthHTTPS, Timeout: patient, CA: empty})
		if check(t, r, want); !r.Local {
			t.Errorf("a verdict: %v", r.Err)
		}
		must(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	}
	if err := CheckSigners(filepath.Dir(empty)); err == nil {
		t.Error("a folder is a file of certificates")
	}
}

// A file of signers that is replaced counts from the next check on.
func TestSignersAreReadAgain(t *testing.T) {
	old, renewed := newAuthority(t, "old"), newAuthority(t, "renewed")
	var s signers
	before, err := s.of(old.file)
	must(t, err)
	if again, _ := s.of(old.file); again != before {
		t.Error("it is read each time")
	}
	data, err := os.ReadFile(renewed.file)
	must(t, err)
	must(t, os.WriteFile(old.file, data, 0o600))
	must(t, os.Chtimes(old.file, time.Time{}, time.Now().Add(time.Second)))
	after, err := s.of(old.file)
	must(t, err)
	if after.Equal(before) {
		t.Error("the old ones are believed")
	}
}

// FuzzHandshake: whatever a server says instead of a handshake, it is an error of one line.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte("\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03" + strings.Repeat("r", 32) + "\x00\x13\x01\x00\x00\x05\x00\x2b\x00\x01\x03"))
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x28"))
	f.Fuzz(func(t *testing.T, said []byte) {
		here, there := net.Pipe()
		defer here.Close()
		_ = here.SetDeadline(time.Now().Add(patient))
		go func() { _, _ = io.Copy(io.Discard, there) }()
		go func() {
			_, _ = there.Write(said)
			there.Close()
		}()
		target := Target{Type: balancer.HealthHTTPS, Insecure: true, Host: "www.example.com"}
		_, err := New(zap.NewNop(), nil).secure(here, &target)
		if err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%x: %v", said, err)
		}
	})
}
