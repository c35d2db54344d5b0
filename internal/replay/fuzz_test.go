package replay

import (
	"bytes"
	"testing"

	"github.com/afxlb/afxlb/internal/capture"
)

// FuzzRun: whatever a capture has, each packet of it comes to one end, in each mode, and
// twice to the same.
func FuzzRun(f *testing.F) {
	list := scenes()
	for i := range list {
		script := list[i].script(3)
		for mode := range list {
			f.Add(uint8(mode), file(f, script.in))
		}
	}
	configs := scenes()
	f.Fuzz(func(t *testing.T, mode uint8, in []byte) {
		if len(in) > 1<<16 {
			return
		}
		if _, err := capture.NewReader(bytes.NewReader(in)); err != nil {
			return
		}
		var first []byte
		for range 2 {
			o := options(t, configs[int(mode)%len(configs)].config, in)
			o.Engine.MaxFlows = 100
			var out bytes.Buffer
			var err error
			if o.Out, err = capture.NewWriter(&out, capture.Format{NG: true}, "eth0"); err != nil {
				t.Fatal(err)
			}
			var lines []byte
			o.Report = func(r *Record) error { lines = r.AppendJSON(lines); return nil }
			sum, err := Run(t.Context(), o)
			ended := sum.Passed + sum.Held
			for _, n := range sum.Verdicts {
				ended += int(n)
			}
			pieces := configs[int(mode)%len(configs)].name == "families" && ended > sum.Packets
			// The one at which the capture is damaged, or no Ethernet, has no end.
			if ended != sum.Packets && err == nil && !pieces || sum.Packets-ended > 1 {
				t.Errorf("%d packets came to %d ends: %+v, %v", sum.Packets, ended, sum, err)
			}
			if all := append(out.Bytes(), lines...); first == nil {
				first = all
			} else if !bytes.Equal(first, all) {
				t.Error("another result the second time")
			}
		}
	})
}
