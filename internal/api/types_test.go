package api

import (
	"reflect"
	"strings"
	"testing"
)

// Scripts read these: fields may be added, at any place, but none of them may go or
// change its name.
func TestFieldsStay(t *testing.T) {
	for _, c := range []struct {
		of     any
		fields string
	}{
		{Status{}, "version pid started state reason warnings generation config reload needs_restart interface driver xdp_mode bind poll services backends not_up flows drops workers snat_ports"},
		{NotUp{}, "service backend address state reason since"},
		{SnatPorts{}, "service backend taken resting total"},
		{Warning{}, "code text since"},
		{UpTotal{}, "up total"},
		{FlowTable{}, "flows by_class max_flows max_embryonic inserted expired evicted_established evicted_embryonic clashes"},
		{Worker{}, "queue cpu received forwarded replied punted dropped misses batches sleeps bind"},
		{Service{}, "name address port protocol mode algorithm backends live flows packets_in packets_out bytes_in bytes_out"},
		{Backend{}, "service name address port weight state reason since check mac live flows packets_in packets_out bytes_in bytes_out checks suspicions"},
		{Check{}, "type address source result error took_ns at next"},
		{Flow{}, "protocol client vip service backend target source state age_ns idle_ns packets_in packets_out bytes_in bytes_out"},
		{Counter{}, "group name value help"},
		{Reload{}, "generation needs_restart"},
	} {
		typ, have := reflect.TypeOf(c.of), map[string]bool{}
		for i := range typ.NumField() {
			name := typ.Field(i).Tag.Get("json")
			if name == "" || strings.Contains(name, ",") { // omitempty: it would go at times
				t.Errorf("%v.%s: JSON name %q", typ, typ.Field(i).Name, name)
			}
			have[name] = true
		}
		for _, name := range strings.Fields(c.fields) {
			if !have[name] {
				t.Errorf("%v has no %s any more", typ, name)
			}
		}
	}
}
