package daemon

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/packet"
)

// Each notice is told of once when it is met, however often, and once when it has not been for
// some time; and so again.
func TestNotices(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var total engine.Counters
	var p noticed
	if told := p.look(now, &total); len(told) != 0 || len(p.lately()) != 0 {
		t.Errorf("nothing was met: %+v, %v", told, p.lately())
	}
	for _, c := range []struct {
		code  string
		count *uint64
		text  string
	}{
		{"punt", &total.Verdicts[packet.DropPuntFailed], "given back to the kernel"},
		{"checksums", &total.Completed, "unfinished checksums"},
		{"checksums", &total.Completed, "unfinished checksums"},
	} {
		for i := range 3 {
			*c.count += 3
			now = now.Add(noticeQuiet - 1)
			told := p.look(now, &total)
			if first := i == 0; len(told) == 1 != first || first && (string(told[0].Kind) != c.code || told[0].Over || !strings.Contains(told[0].Text, c.text)) {
				t.Errorf("%s: look %d tells %+v", c.code, i, told)
			}
			if got := p.lately(); !slices.Equal(got, []string{c.code}) {
				t.Errorf("%s: lately there were %v", c.code, got)
			}
		}
		if told := p.look(now.Add(noticeQuiet-1), &total); len(told) != 0 {
			t.Errorf("%s: it is over too soon: %+v", c.code, told)
		}
		now = now.Add(noticeQuiet)
		if told := p.look(now, &total); len(told) != 1 || !told[0].Over || len(p.lately()) != 0 {
			t.Errorf("%s: the end tells %+v, and lately there were %v", c.code, told, p.lately())
		}
	}
}
