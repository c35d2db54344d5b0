package engine

// kind is a kind of work that a stranger can ask a worker for. Each has a budget of its
// own, so that a flood of one, pings say, takes nothing from the others.
type kind int

// The kinds: answers, and packets for the kernel.
const (
	echoes        kind = iota // echo replies
	resets                    // RSTs to clients
	unreachables              // port unreachables to clients
	exceeded                  // time exceeded
	tooBigs                   // fragmentation needed, and packet too big
	tunnelErrors              // what becomes of errors about packets in tunnels
	backendResets             // RSTs to backends
	challenges                // challenge ACKs
	punts
	numKinds
)

var kindNames = [numKinds]string{
	echoes: "an echo reply", resets: "a TCP reset", unreachables: "an ICMP port unreachable", exceeded: "an ICMP time exceeded",
	tooBigs: "an ICMP packet too big", tunnelErrors: "an ICMP error about the packet inside the tunnel",
	backendResets: "a TCP reset to the backend", challenges: "a challenge ACK", punts: "a packet for the kernel",
}

// String says what it is, for people.
func (k kind) String() string { return kindNames[k] }

const (
	// answersPerSecond bounds what one worker answers on its own, of each kind, so that a
	// flood with false sources is not reflected at full rate.
	answersPerSecond = 1000
	// puntsPerSecond bounds what one worker gives back to the kernel, which routes it in
	// the worker's time.
	puntsPerSecond = 50_000
)

// newBudgets returns the budgets of one worker.
func newBudgets() (b [numKinds]budget) {
	for k := range b {
		b[k].perSecond = answersPerSecond
	}
	b[punts].perSecond = puntsPerSecond
	return b
}

// budget is a token bucket over the worker's coarse clock. It holds a second's worth.
type budget struct {
	perSecond uint32 // below 2 million, or the sum of two seconds' tokens would run over
	tokens    uint32 // thousandths
	at        uint32 // ms
	primed    bool
}

// take takes a token, if there is one.
func (b *budget) take(now uint32) bool {
	full := b.perSecond * 1000
	if !b.primed {
		b.tokens, b.at, b.primed = full, now, true
	}
	// Elapsed ms × tokens a second is in thousandths already.
	if elapsed := now - b.at; elapsed > 0 {
		b.tokens = min(full, b.tokens+min(elapsed, 1000)*b.perSecond)
		b.at = now
	}
	if b.tokens < 1000 {
		return false
	}
	b.tokens -= 1000
	return true
}
