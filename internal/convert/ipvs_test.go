package convert

import (
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

func TestIPVS(t *testing.T) {
	for text, holds := range map[string]func(s []balancer.ServiceSpec) bool{
		"-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 7\n": func(s []balancer.ServiceSpec) bool {
			b := s[0].Backends[0]
			return s[0].Mode == balancer.NAT && s[0].Algorithm == balancer.WeightedRoundRobin && b.Port == 8080 && b.Weight == 7 && s[0].Health.Type == balancer.HealthNone
		},
		"# a script\nipvsadm -C\n/sbin/ipvsadm --add-service --udp-service 192.0.2.1:53 --scheduler rr --ops\nipvsadm --add-server --udp-service=192.0.2.1:53 --real-server 10.0.0.1 --ipip\n": func(s []balancer.ServiceSpec) bool {
			return s[0].Protocol == balancer.UDP && s[0].Affinity == balancer.AffinityNone && s[0].Mode == balancer.IPIP && len(s[0].Backends) == 1
		},
		"-A -t 192.0.2.1:http -p 60 -M 255.255.255.0": func(s []balancer.ServiceSpec) bool {
			return s[0].First == 80 && s[0].Persistence == balancer.PersistenceSpec{Timeout: time.Minute, Prefix4: 24, Prefix6: 128}
		},
		"ipvsadm -At 192.0.2.1:80 -s rr\nipvsadm -at 192.0.2.1:80 -r 10.0.0.1:80 -iw5": func(s []balancer.ServiceSpec) bool {
			return s[0].Mode == balancer.IPIP && s[0].Backends[0].Weight == 5
		},
		"-A -t 192.0.2.1:80 -s mh -b mh-port,mh-fallback": func(s []balancer.ServiceSpec) bool { return s[0].Algorithm == balancer.Maglev },
		"-A -t 192.0.2.1:80 -p -s rr":                     func(s []balancer.ServiceSpec) bool { return s[0].Persistence.Timeout == 5*time.Minute },
		"-A -t 192.0.2.1:0 -s rr -p":                      func(s []balancer.ServiceSpec) bool { return s[0].AnyPort() },
		"-A -t [2001:db8::1]:80 -s sh -p -M 64":           func(s []balancer.ServiceSpec) bool { return s[0].Address.Is6() && s[0].Persistence.Prefix6 == 64 },
		"-A -t 192.0.2.1:80 -s sh -b sh-port":             func(s []balancer.ServiceSpec) bool { return s[0].Algorithm == balancer.Maglev },
		"-A -t 192.0.2.1:80": func(s []balancer.ServiceSpec) bool {
			return s[0].Algorithm == balancer.LeastConn && s[0].Mode == balancer.DSR
		},
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -i --tun-type gre": func(s []balancer.ServiceSpec) bool { return s[0].Mode == balancer.GRE },
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -i --tun-type gue --tun-port 99 --tun-csum": func(s []balancer.ServiceSpec) bool {
			return s[0].GUE == balancer.GUESpec{Port: 99, Checksum: true}
		},
	} {
		s, yaml := converted(t, text, world())
		if len(s) != 1 || !holds(s) {
			t.Errorf("%s:\n%s", text, yaml)
		}
	}
	r := to(t, "-A -t 192.0.2.1:80\n--set 100 0 30\n", world())
	if c := consistent(t, r); c.Conntrack.Timeouts.TCPEstablished != 100*time.Second || c.Conntrack.Timeouts.UDPEstablished != 30*time.Second || c.Conntrack.Timeouts.TCPClosing != 10*time.Second {
		t.Errorf("timeouts: %+v", c.Conntrack.Timeouts)
	}
	for text, want := range map[string]string{
		"-A -f 1 -s rr\n-a -f 1 -r 10.0.0.1:0 -g":              "LEFT OUT: f:2: -r 10.0.0.1:0: its service is left out",
		"-A -t web:http\n":                                     "LEFT OUT: f:1: web:http: it is a host name; save with ipvsadm-save -n",
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r web1:80 -g": "LEFT OUT: f:2: web1: it is a host name",
		"-A --sctp-service 192.0.2.1:80":                       "SCTP is not built",
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g\n-a -t 192.0.2.1:80 -r 10.0.0.2:80 -m": "LEFT OUT: f:3: -r 10.0.0.2:80: is reached by nat, the first of the service by dsr",
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -y 5":                                  "LEFT OUT: f:2: -y 5: ",
		"-A -t 192.0.2.1:80 -s sh -b sh-port,flag-3\n":                                                   "LEFT OUT: f:1: -b flag-3: has no equivalent",
		"-A -t 192.0.2.1:80 -s rr -b sh-port\n":                                                          "LEFT OUT: f:1: -b sh-port: has no equivalent",
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1 -i --tun-type gre --tun-csum":                "LEFT OUT: f:2: --tun-csum: is of gue alone",
		"-A -t 192.0.2.1:80 --pe sip\n":                                                                  "--pe sip: persistence goes by addresses alone",
		"-A -t 192.0.2.1:80\n--start-daemon master\n":                                                    "LEFT OUT: f:2: --start-daemon master: ",
	} {
		if r := to(t, text, world()); !strings.Contains(string(r.YAML), want) {
			t.Errorf("%s: no %q in\n%s", text, want, r.YAML)
		}
	}
}

func TestIPVSErrors(t *testing.T) {
	for text, want := range map[string]string{
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:81 -r 10.0.0.1 -g": "f:2: there is no service 192.0.2.1:81 above",
		"-A -t 192.0.2.1:80 -s frob":                            `f:1: "frob" is no scheduler of IPVS`,
		"-A -t 192.0.2.1:99999":                                 `f:1: "99999" is no port`,
		"-A -t 192.0.2.1":                                       `f:1: "" is no port`,
		"-A -s rr":                                              "f:1: want -t, -u or -f",
		"-A -t":                                                 "f:1: -t wants an argument",
		"-A -t 192.0.2.1:80 --frob":                             `f:1: "--frob" is no option of ipvsadm`,
		"-A -t 192.0.2.1:80 -p soon":                            `f:1: -p: "soon" is no number of seconds`,
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -w many":             `f:2: -w: "many" is no number`,
		"-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -i --tun-type vxlan": `f:2: "vxlan" is no type of tunnel`,
		"-A -t 192.0.2.1:80\n--set 1 2\n":                                           "f:2: --set wants three timeouts",
	} {
		if _, err := Convert("f", []byte(text), world()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
