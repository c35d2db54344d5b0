package daemon

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/config"
)

// A log that nobody reads holds nobody up; when it is read again it says what is missing.
func TestLinesThatNobodyReads(t *testing.T) {
	for format, want := range map[string]string{"json": `"level":"warn"`, "console": "\tWARN\t"} {
		c := config.Log{Level: "info", Format: format}
		r, w := io.Pipe()
		l := newLines(w, newEncoder(c))
		log, _ := newLog(l, c)
		const beyond = 10
		taken := 1 + maxLines // one is being written
		for i := range taken {
			log.Info(fmt.Sprint("line ", i))
			if i == 0 {
				for len(l.queue) > 0 { // until it is
				}
			}
		}
		for range beyond {
			log.Info("too much")
		}
		var read bytes.Buffer
		one := make([]byte, 1)
		for bytes.Count(read.Bytes(), []byte("\n")) < taken-1 { // so that there is room again
			_, _ = r.Read(one)
			read.Write(one)
		}
		log.Info("the last")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(&read, r)
		}()
		l.end()
		log.Info("too late")
		w.Close()
		<-done
		got := strings.Split(strings.TrimSpace(read.String()), "\n")
		if len(got) != taken+2 {
			t.Fatalf("%s: %d lines, want %d", format, len(got), taken+2)
		}
		for i := range taken {
			if !strings.Contains(got[i], fmt.Sprint("line ", i)) {
				t.Fatalf("%s: line %d is %q", format, i, got[i])
			}
		}
		if missing := got[taken]; !strings.Contains(missing, want) || !strings.Contains(missing, fmt.Sprintf("%d lines of the log are lost", beyond)) {
			t.Errorf("%s: what is missing is told by %q", format, missing)
		}
		if last := got[taken+1]; !strings.Contains(last, "the last") {
			t.Errorf("%s: the last line is %q", format, last)
		}
	}
}

// The end does not wait for a reader that does not come, and may be told twice.
func TestEndOfLinesThatNobodyReads(t *testing.T) {
	r, w := io.Pipe()
	l := newLines(w, newEncoder(config.Log{}))
	for range 2 * maxLines {
		_, _ = l.Write([]byte("x\n"))
	}
	l.end()
	l.end()
	r.Close()
	<-l.ended
}
