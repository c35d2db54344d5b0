package convert

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// keepalived reads keepalived.conf.
func keepalived(r *reader, data []byte) {
	k := &keepalivedReader{reader: r, groups: map[string]*statement{}}
	statements := r.parseKeepalived(data)
	for _, s := range statements {
		if s.arg(0) == "virtual_server_group" {
			if first, twice := k.groups[s.arg(1)]; twice {
				k.wrong(s.at, "virtual_server_group %s is there twice, first in line %d", s.arg(1), first.line)
			}
			k.groups[s.arg(1)] = s
		}
	}
	for _, s := range statements {
		switch word := s.arg(0); {
		case word == "virtual_server":
			k.virtualServer(s)
		case word == "virtual_server_group":
		case word == "global_defs":
			k.global(s)
		case strings.HasPrefix(word, "vrrp_"):
			k.out.lose(s.at, s.text(), "VRRP is not built; keepalived can do it beside afxlb, with this block and without virtual_server")
		case strings.HasPrefix(word, "static_"):
			k.out.lose(s.at, s.text(), "afxlb sets no routes or rules, and no addresses but those of services with announce; keep the block in keepalived, or have the machine's network configuration do it")
		default:
			k.out.lose(s.at, s.text(), "has no equivalent")
		}
	}
	k.unread(statements)
}

// unread tells of what nobody has asked for: words behind those that count, blocks where none
// is known, what is said again further down.
func (k *keepalivedReader) unread(list []*statement) {
	for _, s := range list {
		switch {
		case s.told:
			continue
		case s.read < len(s.words):
			k.out.lose(s.at, s.text(), fmt.Sprintf("%q and what follows it is not read", s.words[s.read]))
		case !s.entered && len(s.block) > 0:
			k.out.lose(s.at, s.text(), "what stands in its block is not read")
		default:
			k.unread(s.block)
		}
	}
}

type keepalivedReader struct {
	*reader
	groups map[string]*statement
}

// needless are keywords of which nothing is left out by leaving them out.
var needless = map[string]string{
	"router_id": "", "script_user": "", "enable_script_security": "", "lvs_flush": "", "lvs_flush_on_stop": "", "process_names": "", "checker_priority": "",
	"alpha": "backends wait for their first good answer anyway", "ip_family": "", "lvs_notify_fifo": "", "vrrp_version": "", "instance": "", "net_namespace": "",
}

// global reads global_defs.
func (k *keepalivedReader) global(g *statement) {
	for _, s := range g.inside() {
		word := s.arg(0)
		switch {
		case word == "lvs_timeouts":
			keys := map[string]string{"tcp": "tcp-established", "tcpfin": "tcp-closing", "udp": "udp-established"}
			for i := 1; i+1 < len(s.words); i += 2 {
				key, ok := keys[s.arg(i)]
				if !ok {
					k.wrong(s.at, "lvs_timeouts: %q is none of tcp, tcpfin, udp", s.arg(i))
					continue
				}
				k.out.timeout(s.at, key, k.seconds(s.at, s.arg(i), s.arg(i+1)))
			}
		case word == "lvs_sync_daemon":
			k.out.lose(s.at, s.text(), "flows are not told to other balancers; with algorithm maglev all choose alike")
		case strings.HasPrefix(word, "notification_email"), strings.HasPrefix(word, "smtp"), strings.Contains(word, "notify"):
			k.out.lose(s.at, s.text(), "nobody is mailed or called when something changes; the log says it")
		case strings.HasPrefix(word, "vrrp_"):
			k.out.lose(s.at, s.text(), "VRRP is not built; keepalived can do it beside afxlb")
		default:
			k.minor(s, k.out.lose)
		}
	}
}

// minor notes what is left out, unless nothing is.
func (k *keepalivedReader) minor(s *statement, lose func(at, string, string)) {
	if _, ok := needless[s.whole().arg(0)]; !ok {
		lose(s.at, s.text(), "has no equivalent")
	}
}

// virtualServer makes a service, or several of a group.
func (k *keepalivedReader) virtualServer(v *statement) {
	switch v.arg(1) {
	case "":
		k.wrong(v.at, "virtual_server: want an address and a port, fwmark or group")
	case "fwmark":
		k.out.lose(v.at, v.text(), "firewall marks are not known to packets that the kernel never sees; write a service for each address and port that gets the mark")
	case "group":
		group, ok := k.groups[v.arg(2)]
		if !ok {
			k.wrong(v.at, "there is no virtual_server_group %s", v.arg(2))
			return
		}
		for _, s := range group.inside() {
			switch {
			case s.arg(0) == "fwmark":
				k.out.lose(s.at, s.text(), "firewall marks are not known to packets that the kernel never sees; write a service for each address and port that gets the mark")
			default:
				for _, address := range k.addresses(s) {
					k.service(v, s.at, v.arg(2)+"-"+address, address, s.arg(1))
				}
			}
		}
	default:
		k.service(v, v.at, "", v.arg(1), v.arg(2))
	}
}

// addresses returns those of a line of a group: one, or a range as in 192.0.2.10-20.
func (k *keepalivedReader) addresses(s *statement) []string {
	first, last, isRange := strings.Cut(s.arg(0), "-")
	a, err := netip.ParseAddr(first)
	if !isRange || err != nil {
		return []string{s.arg(0)}
	}
	// The end is the last part, decimal for IPv4 and hexadecimal for IPv6.
	base, sep := 10, "."
	if a.Is6() {
		base, sep = 16, ":"
	}
	tail := first[strings.LastIndex(first, sep)+1:]
	from, err1 := strconv.ParseUint(tail, base, 16)
	to, err2 := strconv.ParseUint(last, base, 16)
	if err1 != nil || err2 != nil || to < from || to-from > 255 {
		k.wrong(s.at, "%q is no range of addresses", s.arg(0))
		return nil
	}
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, strings.TrimSuffix(first, tail)+strconv.FormatUint(n, base))
	}
	return list
}

// service makes a service of a virtual_server at one address.
func (k *keepalivedReader) service(v *statement, p at, name, address, port string) {
	s := &service{at: p, address: k.address(p, address), protocol: "tcp", mode: "nat", algorithm: "least-conn"}
	for _, one := range v.inside() { // first, for the names of ports go by it
		if one.arg(0) == "protocol" {
			s.protocol = strings.ToLower(one.arg(1))
		}
	}
	if s.protocol != "tcp" && s.protocol != "udp" {
		k.out.lose(v.at, v.text(), "protocol "+s.protocol+" is not built")
		return
	}
	s.ports = "any"
	if port != "" {
		s.ports = k.port(p, s.protocol, port)
	}
	s.name = name
	if name == "" {
		s.name = net.JoinHostPort(s.address, s.ports)
	}
	if s.protocol == "udp" {
		s.name += "-udp"
	}
	k.out.services = append(k.out.services, s)

	common, scheduler := checker{}, &statement{at: v.at}
	var servers, sorry []*statement
	var quorum *statement
	for _, one := range v.inside() {
		switch word := one.arg(0); word {
		case "protocol":
		case "lb_algo", "lvs_sched", "lvs_scheduler":
			scheduler = one
		case "lb_kind", "lvs_method":
			k.method(s, one)
		case "real_server":
			servers = append(servers, one)
		case "persistence_timeout":
			seconds := "360" // as lib/check_data.c has it
			if one.arg(1) != "" {
				seconds = one.arg(1)
			}
			k.remember(s, one.at, k.seconds(one.at, word, seconds))
		case "persistence_granularity":
			k.granularity(s, one.at, one.arg(1))
		case "persistence_engine":
			s.lose(one.at, one.text(), "persistence goes by addresses alone")
		case "ops":
			s.affinity = "none"
		case "inhibit_on_failure":
			s.onDown = "keep"
		case "sorry_server":
			sorry = append(sorry, one)
		case "quorum":
			quorum = one
		case "hysteresis":
			if one.arg(1) != "0" {
				s.lose(one.at, one.text(), "min-healthy has none; rise and fall of health keep backends from coming and going")
			}
		case "omega", "quorum_up", "quorum_down", "notify_up", "notify_down", "smtp_alert":
			s.lose(one.at, one.text(), "nobody is mailed and no command is run when something changes; the log says it")
		default:
			if !common.take(k, one) {
				k.minor(one, s.lose)
			}
		}
	}
	for _, one := range servers {
		k.realServer(s, one, common)
	}
	for _, one := range sorry {
		k.sorry(s, one)
	}
	if quorum != nil {
		k.quorum(s, quorum)
	}
	if scheduler.arg(1) != "" {
		k.schedule(s, scheduler.at, scheduler.arg(1))
	}
	s.delivers()
}

// method reads how packets are forwarded.
func (k *keepalivedReader) method(s *service, one *statement) {
	switch strings.ToUpper(one.arg(1)) {
	case "NAT":
		s.mode = "nat"
	case "DR":
		s.mode = "dsr"
	case "TUN":
		k.tunnel(s, one)
	case "FNAT":
		s.lose(one.at, one.text(), "mode fullnat needs snat-addresses, which the file does not have; nat, which is written, needs the backends' way back to lead through this machine")
	default:
		k.wrong(one.at, "%s: %q is none of NAT, DR, TUN", one.arg(0), one.arg(1))
	}
}

// tunnel reads TUN [type ipip|gue port N [csum]|gre].
func (k *keepalivedReader) tunnel(s *service, one *statement) {
	s.mode = "ipip"
	var inside []string
	for i := 2; i < len(one.words); i++ {
		switch w := one.arg(i); w {
		case "type":
			i++
			if s.mode = one.arg(i); s.mode != "ipip" && s.mode != "gue" && s.mode != "gre" {
				k.wrong(one.at, "%q is no type of tunnel; want ipip, gue or gre", one.arg(i))
				s.mode = "ipip"
			}
		case "port":
			i++
			inside = append(inside, "port: "+k.port(one.at, "udp", one.arg(i)))
		case "csum":
			inside = append(inside, "checksum: true")
		case "nocsum":
		case "remcsum":
			s.lose(one.at, w, "remote checksum offload is not built")
		default:
			k.wrong(one.at, "%q is no option of a tunnel", w)
		}
	}
	if s.mode != "gue" && len(inside) > 0 {
		s.lose(one.at, one.text(), "port and checksum are of gue alone")
	}
	if s.mode == "gue" {
		s.gue = strings.Join(append(inside, "variant: 0"), ", ") // IPVS sends GUE's header
	}
}

// realServer makes a backend.
func (k *keepalivedReader) realServer(s *service, v *statement, common checker) {
	b := &backend{at: v.at, address: k.address(v.at, v.arg(1)), weight: ""}
	if v.arg(2) != "" {
		if b.port = k.port(v.at, s.protocol, v.arg(2)); b.port == "any" {
			b.port = ""
		}
	}
	check := common
	for _, one := range v.inside() {
		switch word := one.arg(0); word {
		case "weight":
			b.weight = strconv.Itoa(k.count(one.at, word, one.arg(1), 65535))
		case "lvs_method", "lb_kind":
			other := *s
			if k.method(&other, one); other.mode != s.mode || other.gue != s.gue {
				s.lose(one.at, one.text(), "all backends of a service are reached alike; make two services of it, or have all take "+s.mode)
			}
		case "inhibit_on_failure":
			if s.onDown != "keep" {
				s.onDown = "keep"
				s.tell(one.at, one.text(), "on-down: keep, which is of the whole service")
			}
		case "notify_up", "notify_down", "smtp_alert":
			s.lose(one.at, one.text(), "nobody is mailed and no command is run when something changes; the log says it")
		case "uthreshold":
			s.bound(b, one.at, one.text(), k.count(one.at, word, one.arg(1), 1<<31-1))
		case "lthreshold":
			s.lose(one.at, one.text(), noLowThreshold)
		default:
			if !check.take(k, one) && !check.block(k, s, one) {
				k.minor(one, s.lose)
			}
		}
	}
	b.health = check.health()
	s.backends = append(s.backends, b)
}
