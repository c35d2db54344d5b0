package convert

import "strings"

// marks are first words of lines by which a format shows.
var marks = map[string]Format{
	"virtual_server": Keepalived, "virtual_server_group": Keepalived, "real_server": Keepalived, "vrrp_instance": Keepalived,
	"vrrp_script": Keepalived, "vrrp_sync_group": Keepalived, "global_defs": Keepalived, "include": Keepalived,
	"frontend": HAProxy, "backend": HAProxy, "listen": HAProxy, "defaults": HAProxy, "global": HAProxy,
	"-A": IPVS, "-a": IPVS, "--add-service": IPVS, "--add-server": IPVS, "ipvsadm": IPVS,
}

// Guess returns the format that a file most likely has, "" if nothing speaks for any.
func Guess(data []byte) Format {
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); len(words) > 0 {
			if f, ok := marks[strings.TrimSuffix(strings.TrimPrefix(words[0], "\ufeff"), "{")]; ok {
				return f
			}
		}
	}
	return ""
}
