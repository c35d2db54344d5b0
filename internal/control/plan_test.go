package control

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
)

var nopLog = zap.NewNop()

func TestSteer(t *testing.T) {
	spec := testSpec()
	spec.Services = append(spec.Services, spec.Services[0]) // a second service on the same backends
	spec.Services[2].Name, spec.Services[2].Address = "range", addr("192.0.2.11")
	spec.Services[2].First, spec.Services[2].Last = 8000, 8099
	spec.Services = append(spec.Services, spec.Services[2]) // a third, on the same address for all ports
	spec.Services[3].First, spec.Services[3].Last = 0, 65535
	m := machineOf(&egress.Snapshot{
		Ports: []egress.Port{{MACs: [][6]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 3}}}, {MACs: [][6]byte{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}}}},
		Local: []netip.Addr{addr("10.0.0.1")}, Ephemeral: egress.PortRange{First: 32768, Last: 60999},
	})
	want := bpf.Steering{
		Services: []bpf.Service{
			{Address: addr("192.0.2.10"), Protocol: 6, First: 80, Last: 80},
			{Address: addr("192.0.2.20"), Protocol: 17, First: 53, Last: 53},
			{Address: addr("192.0.2.11"), Protocol: 6, First: 8000, Last: 8099},
			{Address: addr("192.0.2.11"), Protocol: 6, First: 0, Last: 65535},
		},
		// No dsr backends; b answers from the service's ports, and from no others.
		Replies: []bpf.Endpoint{
			{Address: addr("10.0.0.11"), Protocol: 6, First: 8080, Last: 8080},
			{Address: addr("10.0.0.12"), Protocol: 6, First: 80, Last: 80},
			{Address: addr("10.0.0.12"), Protocol: 6, First: 8000, Last: 8099},
			{Address: addr("10.0.0.12"), Protocol: 6, First: 0, Last: 65535},
		},
		Local:     []netip.Addr{addr("10.0.0.1")},
		MACs:      [][6]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 3}},
		MoreMACs:  [][][6]byte{{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}}},
		Ephemeral: bpf.Ports{First: 32768, Last: 60999},
	}
	if got := steer(&spec, &m); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A file of certificates that can't be read is told before anything is changed.
func TestCheckReadsCertificates(t *testing.T) {
	spec := webSpec()
	spec.Services[0].Health.CA = t.TempDir() + "/ca.pem"
	if err := Check(&spec); err == nil || !strings.Contains(err.Error(), `service "web": read the certificates of health.ca: `) {
		t.Errorf("%v", err)
	}
}
