package egress

import "testing"

func TestParseEphemeral(t *testing.T) {
	for text, want := range map[string]PortRange{
		"32768\t60999\n": {32768, 60999},
		"1024 65535":     {1024, 65535},
		"":               {},
		"32768":          {},
		"60999\t32768\n": {},
		"0\t70000\n":     {},
		"some ports\n":   {},
	} {
		got, err := parseEphemeral([]byte(text))
		if got != want || (err == nil) != (want != PortRange{}) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// The range is that of the network namespace that is looked at.
func TestEphemeral(t *testing.T) {
	l := newLab(t)
	if err := l.Balancer.Sysctl("net/ipv4/ip_local_port_range", "20000 20999"); err != nil {
		t.Fatal(err)
	}
	if s := lookAt(t, l); s.Ephemeral != (PortRange{20000, 20999}) {
		t.Errorf("%+v", s.Ephemeral)
	}
}
