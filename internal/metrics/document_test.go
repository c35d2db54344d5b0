package metrics

import (
	"flag"
	"os"
	"testing"
)

const shipped = "../../docs/METRICS.md"

var update = flag.Bool("update", false, "write "+shipped)

// The document that is shipped has all metrics as they are.
func TestDocumentIsShipped(t *testing.T) {
	want := Document()
	if *update {
		if err := os.WriteFile(shipped, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(shipped); err != nil || string(have) != want {
		t.Errorf("docs/METRICS.md is not what internal/metrics says: run make generate (%v)", err)
	}
}
