package packet

import "testing"

// Only the address itself counts, and not what is above it in its word.
func TestIndividual(t *testing.T) {
	for mac, want := range map[MAC]bool{{}: false, {1}: false, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}: false, {0, 0, 0, 0, 0, 1}: true, {2}: true} {
		for _, above := range []uint64{0, 1, 0xffff} {
			if got := Individual(above<<48 | mac.Word()); got != want {
				t.Errorf("%v below %#x: %v", mac, above, got)
			}
		}
	}
}
