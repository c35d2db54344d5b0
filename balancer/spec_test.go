package balancer

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestPorts(t *testing.T) {
	for _, test := range []struct {
		first, last uint16
		want        string
		any         bool
	}{
		{80, 80, "80", false},
		{8000, 8099, "8000-8099", false},
		{0, MaxPort, "any", true},
		{1, MaxPort, "1-65535", false},
		{MaxPort, MaxPort, "65535", false},
	} {
		s := ServiceSpec{First: test.first, Last: test.last}
		if got := s.Ports(); got != test.want {
			t.Errorf("ports %d to %d are %q, want %q", test.first, test.last, got, test.want)
		}
		if got := s.AnyPort(); got != test.any {
			t.Errorf("ports %d to %d: any port is %t, want %t", test.first, test.last, got, test.any)
		}
	}
}

func TestProbe(t *testing.T) {
	for _, test := range []struct {
		name                         string
		first, last, backend, health uint16
		want                         uint16
	}{
		{"service's port", 80, 80, 0, 0, 80},
		{"backend's port", 80, 80, 8080, 0, 8080},
		{"health's port", 80, 80, 8080, 9000, 9000},
		{"range, backend's port", 80, 89, 8080, 0, 8080},
		{"range, health's port", 80, 89, 0, 9000, 9000},
		{"range, nothing said", 80, 89, 0, 0, 0},
		{"any, nothing said", 0, MaxPort, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ServiceSpec{First: test.first, Last: test.last, Health: HealthSpec{Port: test.health}}
			b := BackendSpec{Address: netip.MustParseAddr("10.0.0.1"), Port: test.backend}
			if got, want := s.Probe(&b), netip.AddrPortFrom(b.Address, test.want); got != want {
				t.Errorf("probe goes to %v, want %v", got, want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	for _, test := range []struct {
		first, last, backend, want uint16
	}{
		{80, 80, 0, 80},
		{80, 80, 8080, 8080},
		{80, 89, 8080, 8080},
		{80, 89, 0, 0},
		{0, MaxPort, 0, 0},
	} {
		s := ServiceSpec{First: test.first, Last: test.last, Health: HealthSpec{Port: 9000}}
		if got := s.Target(&BackendSpec{Port: test.backend}); got != test.want {
			t.Errorf("ports %s, backend port %d: traffic goes to port %d, want %d", s.Ports(), test.backend, got, test.want)
		}
	}
}

// Two services are equal if they say the same in all that there is to say.
func TestEqualServices(t *testing.T) {
	a, b := largeSpec(1).Services[0], largeSpec(1).Services[0]
	a.TunnelSources, b.TunnelSources = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	if !a.Equal(&b) {
		t.Fatal("the same is not equal")
	}
	for _, at := range []reflect.Value{reflect.ValueOf(&b).Elem(), reflect.ValueOf(&b.Health).Elem(), reflect.ValueOf(&b.Backends[19]).Elem()} {
		for i := range at.NumField() {
			f, was := at.Field(i), reflect.ValueOf(at.Field(i).Interface())
			other := reflect.Zero(f.Type())
			if f.IsZero() {
				other = anyOf(f.Type())
			}
			f.Set(other)
			if a.Equal(&b) || b.Equal(&a) {
				t.Errorf("equal with another %s: %v", at.Type().Field(i).Name, f)
			}
			f.Set(was)
		}
	}
	if !a.Equal(&b) {
		t.Error("it is not as it was")
	}
}

// anyOf returns a value of the type that is not zero.
func anyOf(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Slice:
		return reflect.MakeSlice(t, 1, 1)
	case reflect.Struct:
		v.Field(0).Set(anyOf(t.Field(0).Type))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	default:
		v.SetUint(1)
	}
	return v
}
