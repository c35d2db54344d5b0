package events

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// Log and ring have the same, in the same order, whoever records at the same time.
func TestLogAndRingAgree(t *testing.T) {
	core, log := observer.New(zapcore.InfoLevel)
	r := NewRecorder(zap.New(core))
	severities := []Severity{Info, Warning, Error}
	r.InForce(7)
	var wg sync.WaitGroup
	const writers, each = 8, 100
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r.Record(Event{Kind: Link, Severity: severities[i%3], Text: fmt.Sprint("text ", i), Service: fmt.Sprint("s", w), Reason: "because"}, zap.Int("detail", i))
			}
		})
	}
	wg.Wait()
	kept, missed, _ := r.After(0)
	lines := log.All()
	if len(kept) != writers*each || len(lines) != len(kept) || missed != 0 {
		t.Fatalf("%d are kept, %d are in the log, %d missed", len(kept), len(lines), missed)
	}
	for i, e := range kept {
		has := lines[i].ContextMap()
		if e.Seq != uint64(i+1) || has["seq"] != e.Seq || has["event"] != string(e.Kind) || has["service"] != e.Service || has["reason"] != e.Reason ||
			lines[i].Message != e.Text || lines[i].Level.String() != string(e.Severity) || e.Time.IsZero() || e.Generation != 7 {
			t.Fatalf("event %d: %+v is in the log as %v %v", i, e, lines[i].Entry, has)
		}
		if _, ok := has["backend"]; ok || has["detail"] == nil {
			t.Fatalf("the log has %v", has)
		}
	}
}

// Whoever asks gets what is kept after a number, and is told how many are lost: an oracle
// that forgets nothing knows.
func TestAfter(t *testing.T) {
	r := NewRecorder(zap.NewNop())
	for total := range uint64(3 * Kept) {
		if total%97 != 0 { // most steps are alike
			r.Record(Event{})
			continue
		}
		for _, seq := range []uint64{0, 1, total / 2, total - min(total, Kept), total - min(total, 1), total, total + 5} {
			list, missed, _ := r.After(seq)
			first := max(seq, total-min(total, Kept)) + 1
			want := uint64(0)
			if total >= first {
				want = total - first + 1
			}
			if uint64(len(list)) != want || missed != first-1-seq || want > 0 && (list[0].Seq != first || list[want-1].Seq != total) {
				t.Fatalf("of %d after %d: %d, %d missed, want %d from %d on", total, seq, len(list), missed, want, first)
			}
		}
		_, _, more := r.After(total)
		select {
		case <-more:
			t.Fatal("there is one more before it was recorded")
		default:
		}
		r.Record(Event{})
		<-more
	}
}

func TestIDs(t *testing.T) {
	r := NewRecorder(zap.NewNop())
	r.Record(Event{})
	id := r.ID(1)
	if n, ok := r.Number(id); n != 1 || !ok {
		t.Errorf("%s is %d, %v", id, n, ok)
	}
	for _, id := range []string{"", "1", "x-1", r.ID(2), r.process + "-", r.process + "-x", id + "0", "-" + id} {
		if n, ok := r.Number(id); ok {
			t.Errorf("%q is taken for event %d", id, n)
		}
	}
}

// A log whose reader has stopped holds up who records, and nobody who reads.
func TestReadersDoNotWaitForTheLog(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	r := NewRecorder(nil)
	r.log = zap.New(stuck{zapcore.NewNopCore(), began, release})
	done := make(chan struct{})
	go func() { defer close(done); r.Record(Event{Text: "x", Severity: Info}) }()
	<-began
	if list, _, _ := r.After(0); len(list) != 1 {
		t.Errorf("%d events while the log is stuck", len(list))
	}
	close(release)
	<-done
}

type stuck struct {
	zapcore.Core
	began, release chan struct{}
}

func (s stuck) Enabled(zapcore.Level) bool { return true }
func (s stuck) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, s)
}
func (s stuck) Write(zapcore.Entry, []zapcore.Field) error {
	close(s.began)
	<-s.release
	return nil
}

func TestKinds(t *testing.T) {
	seen := map[Kind]bool{}
	for _, k := range Kinds {
		if seen[k.Kind] || k.Kind == "" || k.Help == "" || strings.ContainsAny(string(k.Kind), " _") {
			t.Errorf("kind %q: %q", k.Kind, k.Help)
		}
		seen[k.Kind] = true
	}
}
