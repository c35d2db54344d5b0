package health

import (
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// signers are the certificates of those who may sign backends', by file. A file is read again
// when it has changed: certificates are renewed.
type signers struct {
	mu    sync.Mutex
	files map[string]signerFile
}

type signerFile struct {
	changed time.Time
	size    int64
	pool    *x509.CertPool
}

// maxSigners bounds a file, bytes: that of all authorities there are has a quarter of it.
const maxSigners = 1 << 20

// of returns those of a file.
func (s *signers) of(path string) (*x509.CertPool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of health.ca: %w", err)
	}
	if known, ok := s.files[path]; ok && known.changed.Equal(info.ModTime()) && known.size == info.Size() {
		return known.pool, nil
	}
	pool, err := readSigners(path, info)
	if err != nil {
		return nil, err
	}
	if s.files == nil {
		s.files = map[string]signerFile{}
	}
	s.files[path] = signerFile{info.ModTime(), info.Size(), pool}
	return pool, nil
}

func readSigners(path string, info os.FileInfo) (*x509.CertPool, error) {
	if !info.Mode().IsRegular() || info.Size() > maxSigners {
		return nil, fmt.Errorf("read the certificates of health.ca: %s is no file of at most %d KiB", path, maxSigners>>10)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificates of health.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("read the certificates of health.ca: %s has no certificate in PEM", path)
	}
	return pool, nil
}

// CheckSigners says whether a file of certificates can be used.
func CheckSigners(path string) error {
	var s signers
	_, err := s.of(path)
	return err
}
