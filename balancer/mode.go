package balancer

import "strings"

// Traits are what a mode means to the rest of the project: validation, the compiler,
// steering and the packet path read them here instead of asking for modes by name.
type Traits struct {
	// Built: this version can do it.
	Built bool
	// Translates: the destination becomes the backend's address and port. Without,
	// the backend must have the service's address itself, and gets its port.
	Translates bool
	// TranslatesSource: the source becomes an address of the balancer.
	TranslatesSource bool
	// RepliesReturn: the backend's answers come back through the balancer.
	RepliesReturn bool
	// NeedsLink: the backend must be on a link of the balancer. A router on the way
	// would send the packet, whose destination is the service, back here.
	NeedsLink bool
	// MixesFamilies: a service of one family may have backends of the other.
	MixesFamilies bool
	// Encapsulates: the packet goes as it is inside of another one, which is for the
	// backend.
	Encapsulates bool
}

// modes has a row for each mode.
var modes = [...]Traits{
	NAT:     {Built: true, Translates: true, RepliesReturn: true},
	FullNAT: {Built: true, Translates: true, TranslatesSource: true, RepliesReturn: true, MixesFamilies: true},
	DSR:     {Built: true, NeedsLink: true},
	IPIP:    {Built: true, MixesFamilies: true, Encapsulates: true},
	GUE:     {Built: true, MixesFamilies: true, Encapsulates: true},
	GRE:     {Built: true, MixesFamilies: true, Encapsulates: true},
}

// Traits returns what m means; nothing at all for what is no mode.
func (m Mode) Traits() Traits {
	if int(m) < len(modes) {
		return modes[m]
	}
	return Traits{}
}

// modesWith names the modes of which has is true, as in "nat or dsr".
func modesWith(has func(t *Traits) bool) string {
	var names []string
	for m := range modes {
		if has(&modes[m]) {
			names = append(names, Mode(m).String())
		}
	}
	return strings.Join(names, " or ")
}
