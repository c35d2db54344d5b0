package convert

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// services makes those of a frontend or listen: one for each address that it binds.
func (h *hapReader) services(p *hapProxy) {
	if p.mode != "tcp" {
		h.out.lose(p.at, p.kind+" "+p.name, "mode "+p.mode+": "+looksInside+"; HAProxy can stay as a backend of afxlb, which spreads connections over several of it")
		return
	}
	back := p
	switch to := p.to.arg(1); {
	case to != "": // of a listen, too: its own servers get nothing then
		if back = h.backends[to]; back == nil {
			h.wrong(p.to.at, "there is no backend %s", to)
			return
		}
		h.used[back.name] = true
	case p.kind == "frontend":
		h.out.lose(p.at, "frontend "+p.name, "has no default_backend: "+looksInside+", and each service has backends of its own")
		return
	}
	if back != p {
		for _, l := range p.servers {
			p.lose(l, "gets nothing: default_backend "+back.name+" of the section does")
		}
	}
	if back.mode != "tcp" {
		h.out.lose(p.at, p.kind+" "+p.name, "its backend "+back.name+" is of mode "+back.mode+": "+looksInside)
		return
	}
	if len(p.binds) == 0 {
		if p.kind == "frontend" { // a listen may be somebody's default_backend
			h.out.lose(p.at, "frontend "+p.name, "binds no address")
		}
		return
	}
	var made []*service
	for _, l := range p.binds {
		for address := range strings.SplitSeq(l.arg(1), ",") {
			if s := h.bind(p, l, address); s != nil {
				made = append(made, s)
			}
		}
	}
	if len(made) == 0 {
		h.out.lose(p.at, p.kind+" "+p.name, "none of its addresses makes a service, so nothing of it is converted")
	}
	for i, s := range made {
		if len(made) > 1 {
			s.name = fmt.Sprintf("%s-%d", p.name, i+1)
		}
		h.fill(s, p, back)
		h.out.services = append(h.out.services, s)
	}
	for _, who := range []string{"client", "server", "tunnel"} {
		of := p
		if who != "client" {
			of = back
		}
		if t := of.timeouts[who]; t.line > 0 && len(made) > 0 {
			h.timeouts = append(h.timeouts, t)
		}
	}
}

// bind reads one address of a bind line; nil if no service comes of it.
func (h *hapReader) bind(p *hapProxy, l hapLine, address string) *service {
	s := &service{at: l.at, name: p.name, protocol: "tcp"}
	if kind, rest, ok := strings.Cut(address, "@"); ok {
		if kind != "ipv4" && kind != "ipv6" {
			h.out.lose(l.at, "bind "+address, "services are at IP addresses and ports")
			return nil
		}
		address = rest
	}
	if strings.HasPrefix(address, "/") {
		h.out.lose(l.at, "bind "+address, "services are at IP addresses and ports")
		return nil
	}
	i := strings.LastIndex(address, ":")
	if i < 0 {
		h.wrong(l.at, "bind %q has no port", address)
		return nil
	}
	host, port := strings.Trim(address[:i], "[]"), address[i+1:]
	first, last, isRange := strings.Cut(port, "-")
	s.ports = h.port(l.at, "tcp", first)
	if isRange {
		s.ports += "-" + h.port(l.at, "tcp", last)
	}
	a, err := netip.ParseAddr(host)
	switch {
	case host == "" || host == "*" || err == nil && a.IsUnspecified():
		if !h.Address.IsValid() {
			h.out.lose(l.at, "bind "+address, "is for all addresses of the machine, and a service has one; say with --address which it is")
			return nil
		}
		s.address = h.Address.String()
	case err != nil:
		h.out.lose(l.at, "bind "+address, "it is a host name; write its address, for names are not looked up")
		return nil
	default:
		s.address = a.WithZone("").Unmap().String()
	}
	for i := 2; i < len(l.words); i++ {
		switch w := l.arg(i); w {
		case "name", "backlog", "id", "gid", "uid", "user", "group", "mode", "process", "thread", "nice", "tcp-ut", "mss":
			i++
		case "maxconn":
			i++
			s.lose(l.at, "maxconn "+l.arg(i), noMaxConns)
		case "v4v6":
			s.lose(l.at, w, "a service has one address; write another for the other family")
		case "tfo", "v6only", "transparent", "defer-accept", "shards", "level":
		case "ssl":
			s.lose(l.at, "bind … ssl", "TLS is not ended here: it passes through, and backends have to end it")
		case "accept-proxy":
			s.lose(l.at, w, "there is no PROXY protocol: clients come with their own addresses in modes nat, dsr, ipip, gue and gre")
		case "interface":
			i++
			s.tell(l.at, "interface "+l.arg(i), "the interfaces that packets come by stand at the top of the file, for all services")
		default:
			if !slices.ContainsFunc(l.words[2:i], func(w string) bool { return w == "ssl" }) { // whose options follow
				s.lose(l.at, w, "has no equivalent of a bind line")
			}
		}
	}
	return s
}

// fill makes the rest of a service.
func (h *hapReader) fill(s *service, p, back *hapProxy) {
	s.notes = append(s.notes, p.notes...)
	if back != p {
		s.notes = append(s.notes, back.notes...)
	}
	h.way(s, back)
	h.balance(s, back)
	for _, l := range back.servers {
		h.server(s, back, l)
	}
	h.backups(s, back)
	s.ramp()
	if s.algorithm == "round-robin" && slices.ContainsFunc(s.backends, func(b *backend) bool { return b.weight != "" && b.weight != "0" && b.weight != s.backends[0].weight }) {
		s.algorithm = "weighted-round-robin"
	}
	h.stick(s, back)
}

// way sets how packets get to the backends: HAProxy speaks to them from its own address.
func (h *hapReader) way(s *service, back *hapProxy) {
	if back.transparent {
		s.mode = "nat"
		s.tell(back.at, "usesrc", "backends see the client's address, and their way back must lead through this machine, as before")
		return
	}
	source := h.Source
	if a, err := netip.ParseAddr(back.source); err == nil && !a.IsUnspecified() {
		source = a
	}
	if source.IsValid() {
		s.mode, s.sources = "fullnat", []string{source.String()}
		return
	}
	s.mode = "nat"
	s.lose(back.at, "the address towards backends", "HAProxy speaks to them from its own, as mode fullnat does; say with --source which it is. "+
		"nat, which is written, keeps the client's address, and the backends' way back must lead through this machine")
}

// balance sets the algorithm.
func (h *hapReader) balance(s *service, back *hapProxy) {
	s.algorithm = "round-robin"
	name, _, _ := strings.Cut(back.balance.arg(1), "(")
	switch name {
	case "", "roundrobin", "static-rr":
	case "leastconn":
		s.algorithm = "least-conn"
	case "source":
		s.algorithm = "source-hash"
	case "random":
		if s.algorithm = "two-choices"; strings.HasSuffix(back.balance.arg(1), "(1)") {
			s.algorithm = "weighted"
		}
	case "first":
		s.lose(back.balance.at, back.balance.text(), "filling one backend before the next is not built; round-robin is written")
	case "uri", "url_param", "hdr", "rdp-cookie", "hash", "log-hash", "sticky":
		s.algorithm = "source-hash"
		s.lose(back.balance.at, back.balance.text(), looksInside+"; source-hash, which goes by the client's address, is nearest")
	default:
		h.wrong(back.balance.at, "%q is no algorithm of HAProxy", back.balance.arg(1))
	}
}

// stick sets persistence: a table of clients' addresses that servers are kept in.
func (h *hapReader) stick(s *service, back *hapProxy) {
	t := back.stick
	if t.arg(0) == "" {
		return
	}
	expire := 30 * time.Minute // HAProxy's entries stay until there is no room
	for i := 1; i < len(t.words); i++ {
		switch w, next := t.arg(i), t.arg(i+1); {
		case w == "type" && (next == "ip" || next == "ipv6"), w == "size":
			i++
		case w == "expire":
			i++
			expire = h.duration(t.at, next, time.Millisecond)
		case w == "nopurge":
		case back.stickOnSource: // else all of it is told below
			i++
			s.lose(t.at, w+" "+next, "persistence goes by the client's address alone, and is each balancer's own")
		}
	}
	if back.stickOnSource {
		h.remember(s, t.at, expire)
	} else {
		s.lose(t.at, t.text(), "counts or keeps what is not looked at here")
	}
}

// weight returns that of a server; 256 is HAProxy's most.
func (h *hapReader) weight(p at, s string) string { return strconv.Itoa(h.count(p, "weight", s, 256)) }
