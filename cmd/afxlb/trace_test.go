package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
)

// echoing is a balancer that says which packet it was asked for.
type echoing struct{ fake }

func (echoing) Trace(q *api.TraceQuery) (api.Trace, error) {
	if q.Interface != "" {
		return api.Trace{}, api.MachineError{Err: errors.New(q.Interface + " is not served")}
	}
	return api.Trace{Packet: q.Packet, Steps: []api.TraceStep{}, Sent: []api.TraceSent{}}, nil
}

// What flags say of the packet is said, 0 as well; what they can't say is wrong usage.
func TestTraceFlags(t *testing.T) {
	socket := fakeSocket(t, echoing{})
	syn := "tcp 198.51.100.7:40000 192.0.2.10:80"
	for flags, want := range map[string]string{
		"":                               syn,
		"--ttl 0 --length 0":             syn + " length 0 ttl 0",
		"--flags SA --vlan 5 --vlan 6":   syn + " flags SA vlan 5 vlan 6",
		"--from 02:00:00:00:00:0b":       syn + " from 02:00:00:00:00:0b",
		"--ttl 256":                      "",
		"--length -1":                    "",
		"--flags=":                       "",
		"--vlan 5 --vlan 6 --vlan 7":     "",
		"--queue -1":                     "",
		"length 9 --from somebody --ttl": "",
	} {
		args := append(append([]string{"trace", "--socket", socket}, strings.Fields(syn)...), strings.Fields(flags)...)
		code, stdout, stderr := cli(args...)
		said, _, _ := strings.Cut(stdout, " by ")
		if said != want || (code == exitUsage) != (want == "") || (stderr == "") != (want != "") {
			t.Errorf("%s: exit code %d, %q, want %q; %q", flags, code, said, want, stderr)
		}
	}
}

// An interface or queue that there is not has the code that it has for all verbs.
func TestTraceNoSuchInterface(t *testing.T) {
	code, _, stderr := cli("trace", "--socket", fakeSocket(t, echoing{}), "--interface", "eth7", "tcp 198.51.100.7:40000 192.0.2.10:80")
	if code != exitMachine || !strings.Contains(stderr, "eth7 is not served") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
