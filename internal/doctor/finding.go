package doctor

import (
	"fmt"
	"strings"
)

// Severity is how bad a finding is.
type Severity string

const (
	// Warning: it is slow, uncertain, or about to go wrong.
	Warning Severity = "warning"
	// Cannot: something can't work as things are, or packets are lost.
	Cannot Severity = "cannot"
)

// Finding is something that is not as it should be.
type Finding struct {
	Check     string   `json:"check"`     // that found it: the code of the warning and the kind of the event, where it has them
	Group     string   `json:"group"`     // what the check is about
	Interface string   `json:"interface"` // empty: it is the machine's
	Severity  Severity `json:"severity"`
	What      string   `json:"what"` // is wrong, with the value that was seen
	Why       string   `json:"why"`  // it matters
	Do        string   `json:"do"`   // what mends it, with the command where there is one
}

// Text is the finding in a line.
func (f *Finding) Text() string {
	text := f.What
	if f.Interface != "" {
		text = f.Interface + ": " + text
	}
	if f.Why != "" {
		text += ": " + f.Why
	}
	if f.Do != "" {
		text += "; " + f.Do
	}
	return text
}

// Seen is what a check has looked at.
type Seen struct {
	Check string `json:"check"`
	Group string `json:"group"`
	Text  string `json:"text"`
}

// found collects what one check sees and finds.
type found struct {
	check, group string
	findings     []Finding
	seen         []Seen
}

// saw notes what was looked at.
func (r *found) saw(format string, args ...any) {
	r.seen = append(r.seen, Seen{r.check, r.group, fmt.Sprintf(format, args...)})
}

// warn adds a finding of the machine.
func (r *found) warn(what, why, do string) { r.add("", Warning, what, why, do) }

// cannot adds one for which something does not work.
func (r *found) cannot(what, why, do string) { r.add("", Cannot, what, why, do) }

func (r *found) add(port string, s Severity, what, why, do string) {
	r.findings = append(r.findings, Finding{
		Check: r.check, Group: r.group, Interface: port, Severity: s, What: what, Why: why, Do: do,
	})
}

// unknown adds one for what could not be looked at.
func (r *found) unknown(err error) {
	r.warn("can't be looked at: "+strings.ReplaceAll(err.Error(), "\n", "; "), "nothing is known of it", "ask again as root, in the balancer's network namespace")
}
