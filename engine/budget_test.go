package engine

import "testing"

func TestBudget(t *testing.T) {
	for _, perSecond := range []uint32{answersPerSecond, puntsPerSecond} {
		b := budget{perSecond: perSecond}
		count := func(now uint32) (n uint32) {
			for b.take(now) {
				n++
			}
			return n
		}
		const start = ^uint32(0) - 500 // the clock wraps on the way
		for i, c := range []struct{ after, want uint32 }{
			{0, perSecond}, {0, 0}, {1, perSecond / 1000}, {251, perSecond / 4}, {1_000_000, perSecond},
		} {
			if got := count(start + c.after); got != c.want {
				t.Errorf("%d a second, step %d: %d tokens, want %d", perSecond, i, got, c.want)
			}
		}
	}
}

func TestEveryKindHasABudget(t *testing.T) {
	for k, b := range newBudgets() {
		if b.perSecond == 0 || b.perSecond > ^uint32(0)/2000 {
			t.Errorf("kind %d: %d a second", k, b.perSecond)
		}
	}
}
