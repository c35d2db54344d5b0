package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/capture"
)

// late is a balancer whose capture ends in time, and whose first word of it comes late.
type late struct{ fake }

func (late) Capture(f *api.CaptureFilter) (api.Captured, error) {
	end := time.Now().Add(mustDuration(f.Time))
	return func(_ context.Context, to io.Writer) error {
		time.Sleep(mustDuration(f.Time) / 2)
		w, err := capture.NewWriter(to, capture.Format{NG: true})
		if err == nil {
			err = w.Flush()
		}
		time.Sleep(time.Until(end))
		return err
	}, nil
}

// A capture that has had its time is done, however late its answer has begun.
func TestCaptureInTime(t *testing.T) {
	code, _, stderr := cli("capture", "--time", "100ms", "-w", filepath.Join(t.TempDir(), "f"), "--socket", fakeSocket(t, late{}))
	if code != exitDone || !strings.HasPrefix(stderr, "0 packets captured") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
