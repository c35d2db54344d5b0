package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
)

// InterfaceList is the interfaces to serve; their places are the numbers of the ports. It is
// a flag value (pflag.Value).
type InterfaceList []string

// ParseInterfaces reads `eth0` or `eth0,eth1`.
func ParseInterfaces(s string) (list InterfaceList, err error) {
	for name := range strings.SplitSeq(s, ",") {
		if name, err = parseInterface(strings.TrimSpace(name)); err == nil {
			list, err = list.with(name)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// with returns the list with one more.
func (l InterfaceList) with(name string) (InterfaceList, error) {
	switch {
	case slices.Contains(l, name):
		return l, fmt.Errorf("%s is named twice", name)
	case len(l) == balancer.MaxPorts:
		return l, fmt.Errorf("there are more than %d interfaces", balancer.MaxPorts)
	}
	return append(l, name), nil
}

// String returns the form that [ParseInterfaces] reads, and "" for the empty list.
func (l InterfaceList) String() string { return strings.Join(l, ",") }

// Set reads a flag's argument.
func (l *InterfaceList) Set(s string) error { return assign(l, s, ParseInterfaces) }

// Type names the value in the help text.
func (l *InterfaceList) Type() string { return "interfaces" }

// parseInterface holds a name against the kernel's rules (dev_valid_name in
// net/core/dev.c). A comma, which these allow, parts names here.
func parseInterface(s string) (string, error) {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/:, \t\n\v\f\r") {
		return "", fmt.Errorf("%q is no interface name; want up to 15 letters without blanks, slashes, colons or commas, as in eth0", s)
	}
	return s, nil
}

// oneInterface reads the name of a single one, and interfaces a list.
func oneInterface(v value, c *Config) {
	var name string
	if set(v, &name, parseInterface); name != "" {
		c.Interfaces = InterfaceList{name}
	}
}

func interfaces(v value, c *Config) {
	var list InterfaceList
	sequence(v, func(v value, _ *struct{}) {
		var name string
		if set(v, &name, parseInterface); name == "" {
			return
		}
		var err error
		if list, err = list.with(name); err != nil {
			v.problem("%v", err)
		}
	})
	c.Interfaces = list
}
