package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

var persistenceKeys = keys[balancer.PersistenceSpec]{
	{
		name: "timeout", unset: "that of the defaults, or it must be given",
		form:  into(func(p *balancer.PersistenceSpec) *time.Duration { return &p.Timeout }, duration(time.Second, balancer.MaxPersistence).orNone()),
		about: "how long a client without a connection is remembered",
	},
	{
		name: "prefix", unset: "32/128", form: form[balancer.PersistenceSpec]{read: readPrefixes, diff: whole(showPrefixes), looks: prefixLengths.looks},
		about: "how much of an address tells clients apart, for IPv4 and IPv6",
	},
	{
		name: "group", unset: "the service is alone", form: into(func(p *balancer.PersistenceSpec) *string { return &p.Group }, text),
		about: "services with the same group send a client to the same address",
	},
}

var prefixLengths = single("two prefix lengths as in 24/56", `^[0-9]{1,2}/[0-9]{1,3}$`, parsePrefixes)

// persistence reads that of a service, over that of the defaults, if there is one.
func persistence(v value, p *balancer.PersistenceSpec) {
	inherited := *p
	if inherited.Timeout == 0 { // a timeout that is wrong should not cause a second problem
		*p = balancer.PersistenceSpec{Timeout: time.Second, Prefix4: balancer.MaxPrefix4, Prefix6: balancer.MaxPrefix6}
	}
	if v.node.Kind == yaml.ScalarNode && v.node.Value == "none" {
		*p = balancer.PersistenceSpec{}
		return
	}
	if !mapping(v, p, persistenceKeys) {
		*p = inherited
		return
	}
	if _, given := v.file.locate(v.node, "timeout"); !given && inherited.Timeout == 0 {
		v.file.add(v.line, v.below("timeout"), "is missing; want how long a client without a connection is remembered, as in 10m")
	}
}

func readPrefixes(v value, p *balancer.PersistenceSpec) {
	both := prefixes{p.Prefix4, p.Prefix6}
	set(v, &both, parsePrefixes)
	p.Prefix4, p.Prefix6 = both.four, both.six
}

// showPrefixes returns the lengths as [parsePrefixes] reads them.
func showPrefixes(p balancer.PersistenceSpec) string {
	if p.Timeout == 0 { // there is no persistence
		return ""
	}
	return fmt.Sprintf("%d/%d", p.Prefix4, p.Prefix6)
}

type prefixes struct{ four, six int }

func parsePrefixes(s string) (prefixes, error) {
	low, high, both := strings.Cut(s, "/")
	four, err4 := strconv.Atoi(low)
	six, err6 := strconv.Atoi(high)
	if !both || err4 != nil || err6 != nil || four < 1 || four > balancer.MaxPrefix4 || six < 1 || six > balancer.MaxPrefix6 {
		return prefixes{}, fmt.Errorf("%q is not two prefix lengths; want one of IPv4 and one of IPv6, as in 24/56", s)
	}
	return prefixes{four, six}, nil
}
