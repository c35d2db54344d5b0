package snat

import "testing"

func TestPortsAreAllOfTheRangeOnceAndEphemeralOnesLast(t *testing.T) {
	for name, c := range map[string]struct {
		r, ephemeral Range
		first, last  uint16 // in the order of use
	}{
		"without":  {Range{1024, 65535}, Range{}, 1024, 65535},
		"within":   {Range{1024, 65535}, Range{32768, 60999}, 1024, 60999},
		"one":      {Range{5000, 5000}, Range{32768, 60999}, 5000, 5000},
		"below":    {Range{1024, 40000}, Range{32768, 60999}, 1024, 40000},
		"above":    {Range{40000, 65535}, Range{32768, 60999}, 61000, 60999},
		"all":      {Range{40000, 41000}, Range{32768, 60999}, 40000, 41000},
		"disjoint": {Range{1024, 2000}, Range{32768, 60999}, 1024, 2000},
		"to end":   {Range{1, 65535}, Range{50000, 65535}, 1, 65535},
		"from 1":   {Range{1, 65535}, Range{1, 10}, 11, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPorts(c.r, c.ephemeral)
			if want := int(c.r.Last) - int(c.r.First) + 1; p.Len() != want {
				t.Fatalf("%d ports, want %d", p.Len(), want)
			}
			seen := map[uint16]bool{}
			inEphemeral := false
			for i := range p.Len() {
				port, more := p.at(i)
				if seen[port] || port < c.r.First || port > c.r.Last {
					t.Fatalf("port %d, number %d, is there twice or out of the range", port, i)
				}
				seen[port] = true
				if more > 0 { // one is enough for each
					if next, _ := p.at(i + 1); next != port+1 {
						t.Fatalf("behind %d, %d are said to follow, but then comes %d", port, more, next)
					}
				}
				if c.ephemeral != (Range{}) {
					is := port >= c.ephemeral.First && port <= c.ephemeral.Last
					if inEphemeral && !is {
						t.Fatalf("%d comes after one that the kernel gives away", port)
					}
					inEphemeral = is
				}
			}
			if first, _ := p.at(0); first != c.first {
				t.Errorf("the first is %d, want %d", first, c.first)
			}
			if last, _ := p.at(p.Len() - 1); last != c.last {
				t.Errorf("the last is %d, want %d", last, c.last)
			}
		})
	}
}
