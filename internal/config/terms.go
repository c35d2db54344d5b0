package config

import (
	"fmt"
	"regexp"
	"strings"
)

// term says what a word of another product is here: of keys the path of ours, with [] for
// each list, of values the word of ours. Where there is none, or more is to be said, say
// does.
type term struct {
	ours string
	say  string
}

// keyTerms are keys of keepalived, HAProxy, nginx, Envoy and their like, each in the form
// that [normal] gives.
var keyTerms = map[string]term{
	"virtualserver": {ours: "services[]"}, "virtualservers": {ours: "services[]"}, "virtualservice": {ours: "services[]"},
	"virtualservergroup": {ours: "services[]", say: "a service for each address"},
	"frontend":           {ours: "services[]"}, "frontends": {ours: "services[]"}, "listeners": {ours: "services[]"}, "vips": {ours: "services[]"},
	"vip": {ours: "services[].address"}, "bind": {ours: "services[].address", say: "with the port under port"}, "virtualip": {ours: "services[].address"},
	"virtualaddress": {ours: "services[].address"}, "virtualipaddress": {ours: "services[].address"}, "host": {ours: "services[].backends[].address"}, "ip": {ours: "services[].backends[].address"},
	"lbalgo": {ours: "services[].algorithm"}, "lvssched": {ours: "services[].algorithm"}, "scheduler": {ours: "services[].algorithm"}, "sched": {ours: "services[].algorithm"},
	"balance": {ours: "services[].algorithm"}, "lbpolicy": {ours: "services[].algorithm"}, "lbmethod": {ours: "services[].algorithm"}, "policy": {ours: "services[].algorithm"},
	"lbkind": {ours: "services[].mode"}, "lvsmethod": {ours: "services[].mode"}, "forward": {ours: "services[].mode"}, "forwarding": {ours: "services[].mode"},
	"forwardingmethod": {ours: "services[].mode"}, "fwdmethod": {ours: "services[].mode"}, "proto": {ours: "services[].protocol"},
	"realserver": {ours: "services[].backends[]"}, "realservers": {ours: "services[].backends[]"}, "reals": {ours: "services[].backends[]"},
	"server": {ours: "services[].backends[]"}, "servers": {ours: "services[].backends[]"}, "members": {ours: "services[].backends[]"}, "endpoints": {ours: "services[].backends[]"},
	"upstream": {ours: "services[].backends[]"}, "upstreams": {ours: "services[].backends[]"}, "targets": {ours: "services[].backends[]"}, "pool": {ours: "services[].backends[]"},
	"need": {ours: "services[].backends[]"}, "backend": {ours: "services[].backends[]"},
	"persistencetimeout": {ours: "services[].persistence.timeout"}, "persistencegranularity": {ours: "services[].persistence.prefix", say: "as lengths, 24/56"},
	"sticky": {ours: "services[].persistence"}, "sticktable": {ours: "services[].persistence"}, "stick": {ours: "services[].persistence"}, "sessionaffinity": {ours: "services[].persistence"},
	"ops": {ours: "services[].affinity", say: "with none"}, "laddrgroupname": {ours: "services[].snat-addresses"}, "laddrs": {ours: "services[].snat-addresses"},
	"check": {ours: "services[].health"}, "checks": {ours: "services[].health"}, "healthcheck": {ours: "services[].health"}, "healthchecks": {ours: "services[].health"},
	"monitor": {ours: "services[].health"}, "tcpcheck": {ours: "services[].health", say: "with type: tcp"}, "httpget": {ours: "services[].health", say: "with type: http"},
	"httpchk": {ours: "services[].health", say: "with type: http"}, "sslget": {say: "health checks by https are known, but not built yet; tcp tells whether the port is open"},
	"misccheck": {say: "checks by commands are not built, for each would be a process; health type http can ask a small server of yours"},
	"delayloop": {ours: "services[].health.interval"}, "inter": {ours: "services[].health.interval"}, "period": {ours: "services[].health.interval"},
	"connecttimeout": {ours: "services[].health.timeout"}, "retry": {ours: "services[].health.fall"}, "nbgetretry": {ours: "services[].health.fall"},
	"unhealthythreshold": {ours: "services[].health.fall"}, "healthythreshold": {ours: "services[].health.rise"}, "connectport": {ours: "services[].health.port"},
	"url": {ours: "services[].health.path"}, "uri": {ours: "services[].health.path"}, "statuscode": {ours: "services[].health.expect"}, "status": {ours: "services[].health.expect"},
	"virtualhost": {ours: "services[].health.host"}, "hostname": {ours: "services[].health.host"}, "string": {ours: "services[].health.body"}, "rstring": {ours: "services[].health.body"},
	"inhibitonfailure": {ours: "services[].on-down", say: "with keep"}, "onmarkeddown": {ours: "services[].on-down", say: "with reset"},
	"quiescent": {ours: "services[].on-down", say: "with keep"}, "sorryserver": {say: "a backend for when all others are down is known, but not built yet; on-no-backend says what clients get"},
	"quorum": {say: "min-healthy, which would be it, is known, but not built yet"}, "alpha": {say: "backends wait for their first good answer anyway; leave it out"},
	"omega": {say: "there are no commands to run when a service ends; leave it out"}, "fwmark": {say: "there are no firewall marks; want a service for each address and port, or a range of ports"},
	"quorumup": noNotify, "quorumdown": noNotify, "notifyup": noNotify, "notifydown": noNotify, "notify": noNotify,
	"nbthread": {ours: "queues"}, "threads": {ours: "queues"}, "workers": {ours: "queues"}, "cpumap": {ours: "cpus"}, "affinitycpus": {ours: "cpus"},
	"stats": {ours: "listen"}, "metrics": {ours: "listen"}, "prometheus": {ours: "listen"}, "logging": {ours: "log"}, "loglevel": {ours: "log.level"},
	"maxconn": {say: "max-conns of a backend is known, but not built yet; conntrack.max-flows bounds all"}, "global": {say: "what is of the process stands at the top of the file"}, "globaldefs": {say: "what is of the process stands at the top of the file"},
	"vrrpinstance": noVRRP, "vrrp": noVRRP, "vrrpscript": noVRRP, "vrrpsyncgroup": noVRRP, "peers": {say: "flows are not shared; algorithm maglev has all balancers choose alike"},
	"bgp": {say: "BGP is not built; a routing daemon beside afxlb can announce the addresses"},
	"acl": layer7, "usebackend": layer7, "defaultbackend": {ours: "services[].backends[]"}, "cookie": layer7, "httprequest": layer7, "httpresponse": layer7,
}

var (
	noNotify = term{say: "there are no commands to run when something changes; the log says it"}
	noVRRP   = term{say: "VRRP is not built; keepalived can run beside afxlb, without virtual_server"}
	layer7   = term{say: "afxlb balances connections and does not look into them; HAProxy or nginx as backends can"}
)

// valueTerms are values of other products, by what our enum is of.
var valueTerms = map[string]map[string]term{
	"algorithm": {
		"rr": {ours: "round-robin"}, "roundrobin": {ours: "round-robin"}, "wrr": {ours: "weighted-round-robin"}, "staticrr": {ours: "weighted-round-robin"},
		"lc": {ours: "least-conn"}, "wlc": {ours: "least-conn", say: "which goes by the weights"}, "leastconn": {ours: "least-conn"}, "leastrequest": {ours: "two-choices"},
		"leastconnections": {ours: "least-conn"}, "sed": {ours: "least-conn"}, "nq": {ours: "least-conn"}, "leastbandwidth": {ours: "least-conn"},
		"lblc": {ours: "maglev"}, "lblcr": {ours: "maglev"}, "dh": {ours: "maglev"}, "sh": {ours: "source-hash"}, "source": {ours: "source-hash"}, "iphash": {ours: "source-hash"},
		"mh": {ours: "maglev", say: "or source-hash if a client's connections are to stay together"}, "conhash": {ours: "maglev"}, "ringhash": {ours: "maglev"}, "consistent": {ours: "maglev"}, "hash": {ours: "maglev"},
		"twos": {ours: "two-choices"}, "powerof2": {ours: "two-choices"}, "random2": {ours: "two-choices"},
		"fo": {say: "fail-over by weight is not built; backup backends are known, but not built yet"}, "ovf": {say: "overflow by weight is not built"},
		"first": {say: "filling one backend before the next is not built"}, "uri": layer7, "hdr": layer7, "urlparam": layer7, "rdpcookie": layer7,
	},
	"mode": {
		"masq": {ours: "nat"}, "masquerade": {ours: "nat"}, "m": {ours: "nat"}, "dr": {ours: "dsr"}, "gate": {ours: "dsr"}, "gatewaying": {ours: "dsr"}, "g": {ours: "dsr"}, "route": {ours: "dsr"},
		"direct": {ours: "dsr"}, "directrouting": {ours: "dsr"}, "l2dsr": {ours: "dsr"}, "tun": {ours: "ipip"}, "tunnel": {ours: "ipip", say: "or gue or gre"}, "tunneling": {ours: "ipip"}, "i": {ours: "ipip"},
		"ipipencap": {ours: "ipip"}, "l3dsr": {ours: "ipip"}, "fnat": {ours: "fullnat"}, "snat": {ours: "fullnat"}, "proxy": {ours: "fullnat"}, "masquesnat": {ours: "fullnat"},
		"tcp": {say: "that is protocol: tcp"}, "udp": {say: "that is protocol: udp"}, "http": layer7,
	},
	"protocol": {"http": {ours: "tcp"}, "https": {ours: "tcp"}, "quic": {ours: "udp"}, "http3": {ours: "udp"}, "dns": {say: "want one service of udp and one of tcp"}, "sctp": {say: "SCTP is not built"}},
	"health type": {
		"tcpcheck": {ours: "tcp"}, "connect": {ours: "tcp"}, "l4": {ours: "tcp"}, "httpget": {ours: "http"}, "httpchk": {ours: "http"}, "sslget": notBuiltType, "ssl": notBuiltType, "tls": notBuiltType,
		"ping": notBuiltType, "pingcheck": notBuiltType, "udpcheck": notBuiltType, "dnscheck": notBuiltType, "dns": notBuiltType, "smtpcheck": {ours: "tcp"}, "smtp": {ours: "tcp"}, "bfdcheck": notBuiltType,
		"misccheck": {ours: "http", say: "which can ask a small server of yours, for commands are not run"}, "exec": {ours: "http", say: "which can ask a small server of yours, for commands are not run"},
		"off": {ours: "none"}, "disabled": {ours: "none"}, "no": {ours: "none"},
	},
	"on-down":       {"shutdownsessions": {ours: "reset"}, "inhibit": {ours: "keep"}, "rehash": {ours: "reassign"}},
	"on-no-backend": {"rst": {ours: "reject"}, "reset": {ours: "reject"}, "deny": {ours: "reject"}, "silentdrop": {ours: "drop"}},
	"XDP mode":      {"native": {ours: "copy"}, "drv": {ours: "copy"}, "driver": {ours: "copy"}, "skb": {ours: "generic"}, "zerocopy": {ours: "zero-copy"}, "zc": {ours: "zero-copy"}},
	"log level":     {"warning": {ours: "warn"}, "err": {ours: "error"}, "notice": {ours: "info"}, "trace": {ours: "debug"}},
	"log format":    {"text": {ours: "console"}, "logfmt": {ours: "console"}},
	"affinity":      {"client": {say: "that is persistence"}, "source": {say: "that is persistence"}, "clientip": {say: "that is persistence"}},
}

var notBuiltType = term{say: "known, but not built yet; tcp tells whether a port is open"}

// unbuilt are keys that product or issues describe, and this version does not have yet:
// where they are going to be, and what to do until then.
var unbuilt = map[string]string{
	"announce": "have the machine or a routing daemon hold the services' addresses", "services[].announce": "have the machine or a routing daemon hold the service's address",
	"api": "the control socket is there, see --socket", "metrics": "afxlb counters has the numbers",
	"services[].slow-start": "raise the weight in steps", "services[].backends[].slow-start": "raise the weight in steps",
	"services[].min-healthy": "on-no-backend says what clients get when none is left", "services[].max-conns": "conntrack.max-flows bounds all",
	"services[].backends[].max-conns": "conntrack.max-flows bounds all", "services[].backends[].backup": "give it a weight of 0 until it is needed, and reload then",
	"services[].backends[].disabled": "give it a weight of 0", "services[].backends[].health": "all backends of a service are asked alike",
	"services[].health.send": "it is for health type udp, which is not built yet", "services[].health.fast-interval": "a shorter interval finds faults sooner",
	"services[].health.source": "the kernel chooses the check's source address", "services[].health.sni": httpsOnly, "services[].health.ca": httpsOnly,
	"services[].health.insecure": httpsOnly, "services[].health.query": dnsOnly, "services[].health.name": dnsOnly, "services[].health.rcode": dnsOnly, "services[].health.answer": dnsOnly,
}

const (
	httpsOnly = "it is for health type https, which is not built yet"
	dnsOnly   = "it is for health type dns, which is not built yet"
)

var index = regexp.MustCompile(`\[[0-9]+\]`)

// pattern returns the path of a key below v as the tables have it.
func (v *value) pattern(key string) string {
	path := index.ReplaceAllString(v.below(key), "[]")
	if key, ok := strings.CutPrefix(path, "defaults."); ok {
		return "services[]." + key
	}
	return path
}

// answer says what to do instead of an unknown key, and which of the known keys it means,
// if it is one of these. It says nothing of what no table has.
func (v *value) answer(key string) (text, meant string) {
	if len(key) > maxWord {
		return "", ""
	}
	pattern := v.pattern(key)
	if instead, ok := unbuilt[pattern]; ok {
		return "is known, but not built yet; remove it (" + instead + ")", ""
	}
	t, ok := keyTerms[normal(key)]
	if !ok {
		return "", ""
	}
	if t.ours == "" {
		return "unknown key: " + t.say, ""
	}
	here := strings.TrimSuffix(pattern, key)
	ours := strings.TrimSuffix(t.ours, "[]")
	near, below := strings.CutPrefix(ours, here)
	if !below {
		near = ours
	}
	text = fmt.Sprintf("unknown key; here it is %q", near)
	if t.say != "" {
		text += ", " + t.say
	}
	if below && !strings.ContainsAny(near, ".[") {
		meant = near
	}
	return text, meant
}

// instead says what a value of another product is here, or nothing.
func instead(what, name string) string {
	t, ok := valueTerms[what][normal(name)]
	switch {
	case !ok:
		return ""
	case t.ours == "":
		return " (" + t.say + ")"
	case t.say == "":
		return " (write " + t.ours + ")"
	}
	return fmt.Sprintf(" (write %s, %s)", t.ours, t.say)
}
