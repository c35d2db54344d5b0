package convert

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ipvsOptions are ipvsadm's, long and short, and whether an argument follows (ipvsadm(8)).
var ipvsOptions = map[string]struct {
	short string
	takes bool
}{
	"--add-service": {"-A", false}, "--add-server": {"-a", false}, "--edit-service": {"-E", false}, "--edit-server": {"-e", false},
	"--tcp-service": {"-t", true}, "--udp-service": {"-u", true}, "--sctp-service": {"--sctp-service", true}, "--fwmark-service": {"-f", true},
	"--scheduler": {"-s", true}, "--sched-flags": {"-b", true}, "--persistent": {"-p", true}, "--netmask": {"-M", true}, "--pe": {"--pe", true},
	"--ipv6": {"-6", false}, "--ops": {"-o", false}, "--real-server": {"-r", true}, "--gatewaying": {"-g", false}, "--ipip": {"-i", false}, "--masquerading": {"-m", false},
	"--tun-type": {"--tun-type", true}, "--tun-port": {"--tun-port", true}, "--tun-nocsum": {"--tun-nocsum", false}, "--tun-csum": {"--tun-csum", false}, "--tun-remcsum": {"--tun-remcsum", false},
	"--weight": {"-w", true}, "--u-threshold": {"-x", true}, "--l-threshold": {"-y", true},
}

// short has the short forms, and whether an argument follows.
var short = func() map[string]bool {
	m := map[string]bool{}
	for _, o := range ipvsOptions {
		m[o.short] = o.takes
	}
	return m
}()

// ipvs reads the output of ipvsadm-save, or a script of ipvsadm's commands.
func ipvs(r *reader, data []byte) {
	services := map[string]*service{} // by the words that name them
	methods := map[*service]string{}
	n := 0
	for line := range strings.SplitSeq(newlines.Replace(string(data)), "\n") {
		n++
		here := at{r.file, n}
		words := strings.Fields(strings.TrimPrefix(line, "\ufeff"))
		if len(words) > 0 && (words[0] == "ipvsadm" || strings.HasSuffix(words[0], "/ipvsadm")) {
			words = words[1:]
		}
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		command := words[0]
		if len(command) > 2 && command[1] != '-' {
			command = command[:2]
		}
		switch command {
		case "-A", "-a", "--add-service", "--add-server":
			o := r.ipvsLine(here, words)
			if o == nil {
				continue
			}
			if o["-a"] == nil {
				r.ipvsService(here, o, services)
			} else {
				r.ipvsServer(here, o, services, methods)
			}
		case "--set":
			r.ipvsTimeouts(here, words[1:])
		case "-C", "--clear", "-R", "--restore", "-Z", "--zero":
		default:
			r.out.lose(here, strings.Join(words, " "), "is no -A or -a, which alone say what there is")
		}
	}
	for _, s := range r.out.services {
		s.delivers()
	}
	if len(r.out.services) > 0 {
		r.out.tell(at{r.file, 1}, "health checks", "IPVS has none, so none is written; without one a dead backend goes on getting flows")
	}
}

// ipvsLine reads the options of a line; nil if they are wrong.
func (r *reader) ipvsLine(here at, words []string) map[string]*string {
	o := map[string]*string{}
	for i := 0; i < len(words); i++ {
		if w := words[i]; len(w) > 2 && w[0] == '-' && w[1] != '-' { // several in one, as in -At
			if words[i] = w[:2]; short[w[:2]] {
				words = slices.Insert(words, i+1, w[2:])
			} else {
				words = slices.Insert(words, i+1, "-"+w[2:])
			}
		}
		w, value, joined := strings.Cut(words[i], "=")
		if long, ok := ipvsOptions[w]; ok {
			w = long.short
		}
		takes, ok := short[w]
		switch {
		case !ok:
			r.wrong(here, "%q is no option of ipvsadm that is known here", words[i])
			return nil
		case takes && !joined && i+1 < len(words) && (w != "-p" || words[i+1][0] != '-'):
			i++
			value = words[i]
		case takes && !joined && w != "-p": // whose argument may be left out
			r.wrong(here, "%s wants an argument", words[i])
			return nil
		}
		o[w] = &value
	}
	return o
}

// ipvsKey returns the protocol, the address with its port, and both as one.
func ipvsKey(o map[string]*string) (protocol, address, key string) {
	for option, protocol := range map[string]string{"-t": "tcp", "-u": "udp", "-f": "fwmark", "--sctp-service": "sctp"} {
		if a := o[option]; a != nil {
			return protocol, *a, protocol + " " + *a
		}
	}
	return "", "", ""
}

// cutPort parts address:port. The port may be missing.
func cutPort(s string) (address, port string) {
	i := strings.LastIndex(s, ":")
	if i < 0 || strings.HasSuffix(s, "]") || strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return strings.Trim(s, "[]"), ""
	}
	return strings.Trim(s[:i], "[]"), s[i+1:]
}

func (r *reader) ipvsService(here at, o map[string]*string, services map[string]*service) {
	protocol, address, key := ipvsKey(o)
	switch {
	case protocol == "":
		r.wrong(here, "want -t, -u or -f with the service")
		return
	case protocol == "fwmark":
		services[key] = nil
		r.out.lose(here, "-f "+address, "firewall marks are not known to packets that the kernel never sees; write a service for each address and port that gets the mark")
		return
	case protocol == "sctp":
		services[key] = nil
		r.out.lose(here, "--sctp-service "+address, "SCTP is not built")
		return
	}
	host, port := cutPort(address)
	if _, err := netip.ParseAddr(host); err != nil {
		services[key] = nil
		r.out.lose(here, address, "it is a host name; save with ipvsadm-save -n, which writes addresses")
		return
	}
	s := &service{at: here, address: r.address(here, host), ports: r.port(here, protocol, port), protocol: protocol, algorithm: "least-conn"}
	s.name = net.JoinHostPort(s.address, s.ports)
	if protocol == "udp" {
		s.name += "-udp"
	}
	if a := o["-s"]; a != nil {
		r.schedule(s, here, *a)
	}
	if p := o["-p"]; p != nil {
		seconds := 300 * time.Second // as ipvsadm(8) has it
		if *p != "" {
			seconds = r.seconds(here, "-p", *p)
		}
		r.remember(s, here, seconds)
	}
	if m := o["-M"]; m != nil && *m != "255.255.255.255" {
		r.granularity(s, here, *m)
	}
	if o["-o"] != nil {
		s.affinity = "none"
	}
	if pe := o["--pe"]; pe != nil {
		s.lose(here, "--pe "+*pe, "persistence goes by addresses alone")
	}
	r.ipvsFlags(s, here, o["-b"])
	s.mode = "dsr" // as ipvsadm has it, if the servers say nothing
	services[key] = s
	r.out.services = append(r.out.services, s)
}

// ipvsFlags reads those of a scheduler.
func (r *reader) ipvsFlags(s *service, here at, flags *string) {
	if flags == nil {
		return
	}
	for flag := range strings.SplitSeq(*flags, ",") {
		switch {
		case flag == "sh-port" && s.algorithm == "source-hash", flag == "mh-port" && s.algorithm == "maglev":
			s.algorithm = "maglev" // which goes by the ports, too
		case flag == "sh-fallback", flag == "mh-fallback": // whose backend is not in rotation gets another anyway
		default:
			s.lose(here, "-b "+flag, "has no equivalent")
		}
	}
}

func (r *reader) ipvsServer(here at, o map[string]*string, services map[string]*service, methods map[*service]string) {
	protocol, address, key := ipvsKey(o)
	s, known := services[key]
	real := o["-r"]
	switch {
	case protocol == "" || real == nil:
		r.wrong(here, "want the service by -t, -u or -f, and the server by -r")
		return
	case !known:
		r.wrong(here, "there is no service %s above", address)
		return
	case s == nil:
		r.out.lose(here, "-r "+*real, "its service is left out")
		return
	}
	host, port := cutPort(*real)
	b := &backend{at: here, address: host, weight: "1", health: &health{kind: "none"}}
	if a, err := netip.ParseAddr(host); err == nil {
		b.address = a.WithZone("").String()
	}
	if port != "" && port != "0" {
		b.port = r.port(here, protocol, port)
	}
	if w := o["-w"]; w != nil {
		b.weight = strconv.Itoa(r.count(here, "-w", *w, 65535))
	}
	if x := o["-x"]; x != nil {
		s.bound(b, here, "-x "+*x, r.count(here, "-x", *x, 1<<31-1))
	}
	if y := o["-y"]; y != nil && *y != "0" {
		s.lose(here, "-y "+*y, noLowThreshold)
	}
	mode, gue := r.ipvsMethod(here, s, o)
	if first, ok := methods[s]; !ok {
		methods[s], s.mode, s.gue = mode+gue, mode, gue
	} else if first != mode+gue {
		s.lose(here, "-r "+*real, "is reached by "+mode+", the first of the service by "+s.mode+", and all backends of a service are reached alike; make two services of it")
	}
	s.backends = append(s.backends, b)
}

// ipvsMethod reads how packets get to a server.
func (r *reader) ipvsMethod(here at, s *service, o map[string]*string) (mode, gue string) {
	switch {
	case o["-m"] != nil:
		return "nat", ""
	case o["-i"] == nil:
		return "dsr", ""
	}
	kind := "ipip"
	if t := o["--tun-type"]; t != nil {
		kind = *t
	}
	switch kind {
	case "ipip", "gre":
		for _, option := range []string{"--tun-port", "--tun-csum", "--tun-remcsum"} {
			if o[option] != nil {
				s.lose(here, option, "is of gue alone")
			}
		}
		return kind, ""
	case "gue":
	default:
		r.wrong(here, "%q is no type of tunnel; want ipip, gue or gre", kind)
		return "ipip", ""
	}
	gue = "variant: 0" // IPVS sends GUE's header
	if p := o["--tun-port"]; p != nil {
		gue = "port: " + r.port(here, "udp", *p) + ", " + gue
	}
	if o["--tun-csum"] != nil {
		gue += ", checksum: true"
	}
	if o["--tun-remcsum"] != nil {
		s.lose(here, "--tun-remcsum", "remote checksum offload is not built")
	}
	return "gue", gue
}

// ipvsTimeouts reads those of --set: TCP, TCP after a FIN, UDP. 0 leaves one as it is.
func (r *reader) ipvsTimeouts(here at, words []string) {
	if len(words) != 3 {
		r.wrong(here, "--set wants three timeouts")
		return
	}
	for i, key := range []string{"tcp-established", "tcp-closing", "udp-established"} {
		if d := r.seconds(here, "--set", words[i]); d > 0 {
			r.out.timeout(here, key, d)
		}
	}
}
