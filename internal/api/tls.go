package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// TLS says where the API is served to other machines, and to whom.
type TLS struct {
	Address   string // host:port
	Cert, Key string // files in PEM: the server's certificate, with those up to its root, and its key
	ClientCA  string // file in PEM: who signs the certificates of clients
}

// ListenTLS listens for clients with a certificate; nobody else gets a word. The files are
// read again when they change: certificates are renewed more often than balancers are
// restarted.
func ListenTLS(o TLS) (net.Listener, error) {
	f := &certified{TLS: o}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("serve the API at %s: %w", o.Address, err)
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("serve the API at %s: %w", o.Address, err)
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil },
	}), nil
}

// certified is what handshakes go by, as the files have it.
type certified struct {
	TLS

	mu      sync.Mutex
	config  *tls.Config
	changed [3]time.Time // when each of the files had
}

// current returns what is in the files now; while that can't be had, what was.
func (f *certified) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changes() != f.changed {
		_ = f.read() // halfway through a renewal, say: the next handshake tries again
	}
	return f.config
}

func (f *certified) changes() (at [3]time.Time) {
	for i, path := range []string{f.Cert, f.Key, f.ClientCA} {
		if info, err := os.Stat(path); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

func (f *certified) read() error {
	at := f.changes() // before the look: what changes meanwhile is read again
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return fmt.Errorf("read certificate and key: %w", err)
	}
	text, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return fmt.Errorf("read who signs clients' certificates: %w", err)
	}
	signers := x509.NewCertPool()
	if !signers.AppendCertsFromPEM(text) {
		return fmt.Errorf("read who signs clients' certificates: %s has no certificate in PEM", f.ClientCA)
	}
	f.changed = at
	f.config = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: signers,
	}
	return nil
}

// hasCertificate returns why a client may not change something: it may, if its certificate
// was verified.
func hasCertificate(c *tls.Conn) error {
	if len(c.ConnectionState().VerifiedChains) == 0 {
		return errors.New("changes are for clients with a certificate")
	}
	return nil
}

// NewTLSClient returns a client of the balancer that serves its API at an address, with
// a certificate in the config.
func NewTLSClient(address string, config *tls.Config) *Client {
	d := &tls.Dialer{Config: config}
	return newClient(address, func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) })
}
