package replay

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/capture"
)

// TestJSON: each line is what encoding/json reads as the record, with all keys.
func TestJSON(t *testing.T) {
	s := scenes()[0]
	script := s.script(30)
	arp := capture.Packet{Time: script.now, Data: append(bytes.Repeat([]byte{2}, 12), 8, 6), Length: 14}
	script.in = append(script.in, arp)
	_, records, _ := replayed(t, options(t, strings.ReplaceAll(s.config, "name: b1,", `name: "b\"1é",`), file(t, script.in)))
	type tuple struct{ Protocol, Source, Destination string }
	type sent struct {
		tuple
		Length int
	}
	type egress struct {
		Port           string
		SourceMAC      string `json:"source_mac"`
		DestinationMAC string `json:"destination_mac"`
		VLANs          []uint16
	}
	seen := map[string]int{}
	for i := range records {
		r := &records[i]
		if i == 5 && len(r.Sent) > 0 {
			r.Released = append(r.Released, r.Sent[0], r.Sent[0])
		}
		var line struct {
			tuple
			Index                                                     int
			Time                                                      time.Time
			Interface, Steering, Verdict, Service, Backend, Direction string
			DropReason                                                *string `json:"drop_reason"`
			FlowState                                                 *string `json:"flow_state"`
			Rewritten                                                 *sent
			Egress                                                    *egress
			Released                                                  []struct {
				Rewritten *sent
				Egress    *egress
			}
		}
		b := r.AppendJSON(nil)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&line); err != nil || bytes.Count(b, []byte("\n")) != 1 || !bytes.HasSuffix(b, []byte("\n")) {
			t.Fatalf("%v: %s", err, b)
		}
		if line.Index != i+1 || !line.Time.Equal(script.in[i].Time) || line.Verdict != r.Verdict || line.Service != r.Service || line.Backend != r.Backend ||
			*line.DropReason != r.Reason || *line.FlowState != r.Flow || line.Direction != r.Direction || line.Steering != r.Steering || line.Protocol != r.Protocol {
			t.Fatalf("%s of %+v", b, r)
		}
		if (len(r.Sent) == 0) != (line.Rewritten == nil) || (len(r.Sent) == 0) != (line.Egress == nil) || line.Released == nil || len(line.Released) != len(r.Released) {
			t.Fatalf("%s of %+v", b, r)
		}
		if len(r.Sent) > 0 {
			s := &r.Sent[0]
			if line.Egress.DestinationMAC != s.DestinationMAC.String() || line.Egress.SourceMAC != s.SourceMAC.String() || line.Egress.VLANs == nil ||
				!slices.Equal(line.Egress.VLANs, s.VLANs) || line.Rewritten.Length != s.Length || line.Egress.Port != "eth0" {
				t.Fatalf("%s of %+v", b, r)
			}
			if r.Protocol == "tcp" && line.Rewritten.Destination != s.Destination.String() {
				t.Fatalf("%s of %+v", b, r)
			}
			if len(line.Released) > 0 && (line.Released[1].Egress.SourceMAC != s.SourceMAC.String() || line.Released[1].Rewritten.Length != s.Length) {
				t.Fatalf("%s of %+v", b, r)
			}
		}
		seen[r.Verdict]++
		seen[r.Backend]++
		if len(line.Released) > 0 {
			seen["released"]++
		}
	}
	for _, what := range []string{"forwarded", "replied", "passed", `b"1é`, "released"} {
		if seen[what] == 0 {
			t.Errorf("%s was not tried: %v", what, seen)
		}
	}
}
