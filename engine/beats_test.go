package engine

import (
	"testing"
	"time"
)

// Each worker's number grows as long as it runs, idle or not, and is 0 before and after.
func TestBeats(t *testing.T) {
	r := run(t, 2)
	await := func(what string, ok func(beats []uint64) bool) []uint64 {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			beats := r.engine.Beats()
			if ok(beats) {
				return beats
			}
			if time.Now().After(end) {
				t.Fatalf("no %s: %v", what, beats)
			}
		}
	}
	first := await("start", func(b []uint64) bool { return b[0] > 0 && b[1] > 0 })
	await("beat of idle workers", func(b []uint64) bool { return b[0] > first[0] && b[1] > first[1] })
	r.stop()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if b := r.engine.Beats(); b[0] != 0 || b[1] != 0 {
		t.Errorf("ended workers beat: %v", b)
	}
}
