package health

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// secured is a connection with TLS, which ends as politely as one without: by TLS's own
// notice, and then by the FIN. What comes after that is not deciphered any more.
type secured struct {
	*tls.Conn
	bare  net.Conn
	ended bool
}

// CloseWrite says that nothing more is sent.
func (s *secured) CloseWrite() error {
	_ = s.Conn.CloseWrite() // the FIN says it too
	s.ended = true
	if c, ok := s.bare.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read returns what the server sends.
func (s *secured) Read(b []byte) (int, error) {
	if s.ended {
		return s.bare.Read(b)
	}
	return s.Conn.Read(b)
}

// Close closes the connection below, and says nothing.
func (s *secured) Close() error { return s.bare.Close() }

// secure does the handshake of TLS over conn. On an error conn is as it was, but for that.
func (p *Prober) secure(conn net.Conn, t *Target) (*secured, error) {
	c := &tls.Config{ServerName: t.serverName(), InsecureSkipVerify: t.Insecure, NextProtos: []string{"http/1.1"}}
	if t.CA != "" {
		pool, err := p.signers.of(t.CA)
		if err != nil {
			return nil, unsent{err}
		}
		c.RootCAs = pool
	}
	// Without a context: when one ends, the handshake closes the connection under our hands.
	inside := tls.Client(conn, c)
	if err := inside.Handshake(); err != nil {
		return nil, handshakeError(err, c.ServerName)
	}
	return &secured{Conn: inside, bare: conn}, nil
}

// serverName returns the name that the certificate is to be of. It is sent (SNI) if it is no
// address.
func (t *Target) serverName() string {
	name := cmp.Or(t.Host, t.Address.Addr().String())
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return strings.Trim(name, "[]")
}

// handshakeError puts what went wrong in words that are the same each time, and no longer
// than a line, whatever a certificate says.
func handshakeError(err error, name string) error {
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return unsent{err}
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateError(e, name)
	}
	if err = withoutSource(err); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// certificateError says what is wrong with a certificate.
func certificateError(e *tls.CertificateVerificationError, name string) error {
	var why string
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](e.Err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](e.Err)
	_, other := errors.AsType[x509.HostnameError](e.Err)
	switch {
	case isInvalid && invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore):
		why = "is not valid before " + invalid.Cert.NotBefore.UTC().Format(time.DateTime)
	case isInvalid && invalid.Reason == x509.Expired && invalid.Cert != nil:
		why = "has expired on " + invalid.Cert.NotAfter.UTC().Format(time.DateTime)
	case unknown && len(e.UnverifiedCertificates) > 0:
		why = fmt.Sprintf("is signed by %q, who is unknown", brief(e.UnverifiedCertificates[0].Issuer.String()))
	case other && len(e.UnverifiedCertificates) > 0:
		why = fmt.Sprintf("is not of %s, but of %q", name, names(e.UnverifiedCertificates[0]))
	default:
		why = fmt.Sprintf("is bad: %q", brief(e.Err.Error()))
	}
	return errors.New("the certificate " + why)
}

// names returns whom a certificate is of.
func names(c *x509.Certificate) string {
	list := c.DNSNames
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return brief(c.Subject.String())
	}
	return brief(strings.Join(list[:min(len(list), 10)], ", "))
}

// brief cuts what others say.
func brief(s string) string {
	const limit = 120
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return s
}
