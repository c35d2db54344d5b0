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

// terms are words, apart by blanks, of which the same is to be said.
type terms struct{ ours, say, words string }

// byWord returns what is to be said of each word.
func byWord(list []terms) map[string]term {
	m := map[string]term{}
	for _, t := range list {
		for _, w := range strings.Fields(t.words) {
			m[w] = term{t.ours, t.say}
		}
	}
	return m
}

// keyTerms are keys of keepalived, HAProxy, nginx, Envoy and their like, each in the form
// that [normal] gives.
var keyTerms = byWord([]terms{
	{"cpus", "", "cpumap affinitycpus"},
	{"listen", "", "stats metrics prometheus"},
	{"log", "", "logging"},
	{"log.level", "", "loglevel"},
	{"queues", "", "nbthread threads workers"},
	{"services[]", "", "virtualserver virtualservers virtualservice frontend frontends listeners vips"},
	{"services[]", "a service for each address", "virtualservergroup"},
	{"services[].address", "", "vip virtualip virtualaddress virtualipaddress"},
	{"services[].address", "with the port under port", "bind"},
	{"services[].affinity", "with none", "ops"},
	{"services[].announce", "", "announce"},
	{"services[].algorithm", "", "lbalgo lvssched scheduler sched balance lbpolicy lbmethod policy"},
	{"services[].backends[]", "", "realserver realservers reals server servers members endpoints upstream upstreams targets pool need backend defaultbackend"},
	{"services[].backends[].address", "", "host ip"},
	{"services[].backends[].backup", "with true, in the list of backends", "sorryserver"},
	{"services[].backends[].max-conns", "", "maxconn maxconns uthreshold maxconnections"},
	{"services[].health", "", "check checks healthcheck healthchecks monitor"},
	{"services[].health", "with type: http", "httpget httpchk"},
	{"services[].health", "with type: tcp", "tcpcheck"},
	{"services[].health.body", "", "string rstring"},
	{"services[].health.expect", "", "statuscode status"},
	{"services[].health.fall", "", "retry nbgetretry unhealthythreshold"},
	{"services[].health.host", "", "virtualhost hostname"},
	{"services[].health.interval", "", "delayloop inter period"},
	{"services[].health.path", "", "url uri"},
	{"services[].health.port", "", "connectport"},
	{"services[].health.rise", "", "healthythreshold"},
	{"services[].health.timeout", "", "connecttimeout"},
	{"services[].min-healthy", "", "healthypanicthreshold minhealthypercent"},
	{"services[].min-healthy", "with below-min-healthy: backup, as a number of backends", "quorum"},
	{"services[].mode", "", "lbkind lvsmethod forward forwarding forwardingmethod fwdmethod"},
	{"services[].on-down", "with keep", "inhibitonfailure quiescent"},
	{"services[].on-down", "with reset", "onmarkeddown"},
	{"services[].persistence", "", "sticky sticktable stick sessionaffinity"},
	{"services[].persistence.prefix", "as lengths, 24/56", "persistencegranularity"},
	{"services[].persistence.timeout", "", "persistencetimeout"},
	{"services[].protocol", "", "proto"},
	{"services[].slow-start", "", "slowstart slowstartwindow slowstartconfig warmup"},
	{"services[].snat-addresses", "", "laddrgroupname laddrs"},
	{"", "BGP is not built; a routing daemon beside afxlb can announce the addresses", "bgp"},
	{"", "backends wait for their first good answer anyway; leave it out", "alpha"},
	{"", "checks by commands are not built, for each would be a process; health type http can ask a small server of yours", "misccheck"},
	{"", "flows are not shared; algorithm maglev has all balancers choose alike", "peers"},
	{"services[].health", "with type: https", "sslget"},
	{"services[].health", "with type: udp", "udpcheck"},
	{"services[].health", "with type: dns", "dnscheck"},
	{"services[].health", "with type: icmp", "pingcheck"},
	{"services[].health.ca", "", "cafile cacert"},
	{"services[].health.expect", "with type: udp", "receive recv requirereply"},
	{"services[].health.fast-interval", "", "fastinter delaybeforeretry intervalup"},
	{"services[].health.host", "", "sni servername"},
	{"services[].health.insecure", "", "verify tlsskipverify skipverify insecureskipverify"},
	{"services[].health.query", "", "qtype querytype recordtype"},
	{"services[].health.send", "", "payload request"},
	{"services[].health.source", "", "bindto sourceaddress"},
	{"", "there are no commands to run when a service ends; leave it out", "omega"},
	{"", "there are no firewall marks; want a service for each address and port, or a range of ports", "fwmark"},
	{"", "what is of the process stands at the top of the file", "global globaldefs"},
	{"", layer7, "acl usebackend cookie httprequest httpresponse"},
	{"", noNotify, "quorumup quorumdown notifyup notifydown notify"},
	{"", noVRRP, "vrrpinstance vrrp vrrpscript vrrpsyncgroup"},
})

const (
	noNotify = "there are no commands to run when something changes; the log says it"
	noVRRP   = "VRRP is not built; keepalived can run beside afxlb, without virtual_server"
	layer7   = "afxlb balances connections and does not look into them; HAProxy or nginx as backends can"
)

// valueTerms are values of other products, by what our enum is of.
var valueTerms = map[string]map[string]term{
	"algorithm": byWord([]terms{
		{"round-robin", "", "rr roundrobin"},
		{"weighted-round-robin", "", "wrr staticrr"},
		{"least-conn", "", "lc leastconn leastconnections sed nq leastbandwidth"},
		{"least-conn", "which goes by the weights", "wlc"},
		{"two-choices", "", "leastrequest twos powerof2 random2"},
		{"source-hash", "", "sh source iphash"},
		{"maglev", "", "lblc lblcr dh conhash ringhash consistent hash"},
		{"maglev", "or source-hash if a client's connections are to stay together", "mh"},
		{"", "that is backup: true at all backends but the first", "fo"},
		{"", "overflow by weight is not built", "ovf"},
		{"", "filling one backend before the next is not built", "first"},
		{"", layer7, "uri hdr urlparam rdpcookie"},
		{"", "times of answers are not looked at; least-conn is nearest", "ewma peakewma leasttime responsetime"},
	}),
	"way to announce": byWord([]terms{
		{"arp", "", "layer2 l2 garp ndp na"},
		{"local", "", "loopback lo"},
		{"local", "from which a routing daemon takes it", "bgp ospf ospf6 isis layer3 l3"},
		{"none", "", "off false no manual"},
		{"", noVRRP + "; arp does without a second machine", "vrrp carp keepalived"},
	}),
	"mode": byWord([]terms{
		{"nat", "", "masq masquerade masquerading m"},
		{"dsr", "", "dr gate gateway gatewaying g route direct directrouting l2dsr"},
		{"ipip", "", "tun tunneling i ipipencap l3dsr"},
		{"ipip", "or gue or gre", "tunnel"},
		{"fullnat", "", "fnat snat proxy"},
		{"nat", "which leaves the client's address", "tproxy transparent"},
		{"gue", "whose header is none but UDP's", "fou"},
		{"", "that tunnel is not built; gue goes through the same networks", "vxlan geneve"},
		{"", "that is protocol: tcp", "tcp"},
		{"", "that is protocol: udp", "udp"},
		{"", layer7, "http"},
	}),
	"protocol": byWord([]terms{
		{"tcp", "", "http https"},
		{"udp", "", "quic http3"},
		{"", "SCTP is not built", "sctp"},
		{"", "echo requests for a service's address are answered anyway", "icmp icmpv6 ping"},
		{"", "want one service of udp and one of tcp", "dns both any all tcp/udp udp/tcp tcp+udp tcpudp"},
	}),
	"health type": byWord([]terms{
		{"tcp", "", "tcpcheck connect l4 smtpcheck smtp"},
		{"tcp", "which opens a connection and says nothing on it", "mysql mysqlcheck pgsql pgsqlcheck redis redischeck ldap ldapcheck grpc"},
		{"http", "", "httpget httpchk"},
		{"https", "", "sslget ssl tls"},
		{"udp", "", "udpcheck"},
		{"dns", "", "dnscheck"},
		{"icmp", "", "ping pingcheck"},
		{"", "checks by commands are not built, for each would be a process; type http can ask a small server of yours", "misccheck misc exec external externalcheck script"},
		{"", "BFD is not built; type icmp with a short interval is nearest", "bfdcheck bfd"},
		{"none", "", "off disabled no"},
	}),
	"on-down": byWord([]terms{
		{"keep", "", "inhibit"},
		{"reassign", "", "rehash"},
		{"reset", "", "shutdownsessions"},
	}),
	"on-no-backend": byWord([]terms{
		{"drop", "", "silentdrop"},
		{"reject", "", "rst reset deny"},
	}),
	"XDP mode": byWord([]terms{
		{"copy", "", "native drv driver"},
		{"generic", "", "skb"},
		{"zero-copy", "", "zerocopy zc"},
	}),
	"log level": byWord([]terms{
		{"debug", "", "trace"},
		{"error", "", "err"},
		{"info", "", "notice"},
		{"warn", "", "warning"},
	}),
	"log format": byWord([]terms{
		{"console", "", "text logfmt"},
	}),
	"affinity": byWord([]terms{
		{"", "that is persistence", "client source clientip"},
	}),
}

// unbuilt are keys that product or issues describe, and this version does not have yet:
// where they are going to be, and what to do until then.
var unbuilt = map[string]string{
	"services[].backends[].slow-start": "slow-start of the service is that of all its backends", "services[].max-conns": "each backend has one of its own",
	"services[].backends[].disabled": "give it a weight of 0", "services[].backends[].health": "all backends of a service are asked alike",
}

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
