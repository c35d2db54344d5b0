package control

import (
	"net/netip"
	"reflect"
	"testing"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/bpf"
)

var nopLog = zap.NewNop()

func TestSteer(t *testing.T) {
	spec := testSpec()
	spec.Services = append(spec.Services, spec.Services[0]) // a second service on the same backends
	spec.Services[2].Name, spec.Services[2].Address = "range", addr("192.0.2.11")
	spec.Services[2].First, spec.Services[2].Last = 8000, 8099
	local := []netip.Addr{addr("10.0.0.1")}
	want := bpf.Steering{
		Services: []bpf.Service{
			{Address: addr("192.0.2.10"), Protocol: 6, First: 80, Last: 80},
			{Address: addr("192.0.2.20"), Protocol: 17, First: 53, Last: 53},
			{Address: addr("192.0.2.11"), Protocol: 6, First: 8000, Last: 8099},
		},
		// No dsr backends; b of web answers from the service's port, b of range from any.
		Replies: []bpf.Endpoint{
			{Address: addr("10.0.0.11"), Protocol: 6, Port: 8080},
			{Address: addr("10.0.0.12"), Protocol: 6, Port: 80},
			{Address: addr("10.0.0.12"), Protocol: 6, Port: 0},
		},
		Local: local,
	}
	if got := steer(&spec, local); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
