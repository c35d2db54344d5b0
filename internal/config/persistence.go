package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

var persistenceKeys = keys[balancer.PersistenceSpec]{
	{
		name: "timeout", required: "how long a client without a connection is remembered, as in 10m",
		read: func(v value, p *balancer.PersistenceSpec) { set(v, &p.Timeout, parsePersistence) },
	},
	{name: "prefix", read: func(v value, p *balancer.PersistenceSpec) {
		both := prefixes{p.Prefix4, p.Prefix6}
		set(v, &both, parsePrefixes)
		p.Prefix4, p.Prefix6 = both.four, both.six
	}},
	{name: "group", read: func(v value, p *balancer.PersistenceSpec) { set(v, &p.Group, parseText) }},
}

var parsePersistence = duration(time.Second, balancer.MaxPersistence)

// persistence reads that of a service.
func persistence(v value, p *balancer.PersistenceSpec) {
	// A timeout that is wrong should not cause a second problem.
	*p = balancer.PersistenceSpec{Timeout: time.Second, Prefix4: balancer.MaxPrefix4, Prefix6: balancer.MaxPrefix6}
	if !mapping(v, p, persistenceKeys) {
		*p = balancer.PersistenceSpec{}
	}
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
