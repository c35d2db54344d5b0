package doctor

import (
	"fmt"
	"strings"
)

// firewall tells of rules that no packet of a service meets.
func firewall(m *Machine, r *found) {
	const why = "XDP takes the services' packets before netfilter has them: the rule has no effect on them"
	if err := m.Firewall.Err; err != nil {
		r.unknown(err)
	}
	for _, rule := range m.Firewall.Rules {
		at := rule.Family + " " + rule.Table
		r.warn(fmt.Sprintf("rule %d of chain %s in table %s of nftables is for %s", rule.Handle, rule.Chain, at, rule.Address), why,
			fmt.Sprintf("filter in front of this machine, and see what it was for: nft -a list chain %s %s (nft delete rule %[1]s %[2]s handle %d)", at, rule.Chain, rule.Handle))
	}
	if len(m.Firewall.Legacy) > 0 {
		r.warn("iptables-legacy has tables here ("+strings.Join(m.Firewall.Legacy, ", ")+"), whose rules are not looked at",
			"XDP takes the services' packets before netfilter has them: rules for their addresses have no effect", "iptables-legacy-save | grep -F -e "+m.addressList())
	}
	if len(m.Firewall.Rules) == 0 && m.Firewall.Err == nil {
		r.saw("no rule of nftables names a service's address")
	}
}

// addressList is the services' first addresses, as grep has several patterns.
func (m *Machine) addressList() string {
	var list []string
	for i := range m.Spec.Services[:min(len(m.Spec.Services), 3)] {
		list = append(list, m.Spec.Services[i].Address.String())
	}
	return strings.Join(list, " -e ")
}
