package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// A backend refuses whom it answers a SYN with a RST, and no more when it has accepted
// somebody. What a stranger can provoke from one that is well says nothing.
func TestWhoRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		replies bool
		steps   func(c *talk)
		want    int64
	}{
		"a SYN is refused":         {true, func(c *talk) { c.send(Request, syn, 0); c.send(Reply, rst|ack, 0) }, 4},
		"a SYN is answered":        {true, func(c *talk) { c.send(Request, syn, 0); c.send(Reply, synAck, 0) }, 3},
		"and that is acknowledged": {true, func(c *talk) { c.send(Request, syn, 0); c.send(Reply, synAck, 0); c.send(Request, ack, 0) }, 0},
		"dsr: the client goes on":  {false, func(c *talk) { c.send(Request, syn, 0); c.next[Reply] = 1; c.send(Request, ack, 0) }, 0},
		"a bare ACK gets a RST":    {true, func(c *talk) { c.send(Request, ack, 0); c.send(Reply, rst, 0) }, 3},
		"the client gives up":      {true, func(c *talk) { c.send(Request, syn, 0); c.send(Request, rst, 0) }, 3},
		"the answer is nobody's":   {true, func(c *talk) { c.send(Request, syn, 0); c.forge(Reply, packet.Segment{Flags: rst | ack, Ack: 99}) }, 3},
		"it ends the connection": {true, func(c *talk) {
			c.send(Request, syn, 0)
			c.send(Reply, synAck, 0)
			c.send(Request, ack, 0)
			c.send(Reply, rst|ack, 0)
		}, 0},
		"refused, again by the way": {true, func(c *talk) { c.send(Request, syn, 0); c.send(Reply, rst|ack, 0); c.send(Reply, rst|ack, 0) }, 4},
	} {
		talk := newTalk(t, c.replies)
		id := talk.tab.Flow(talk.ref).BackendID
		for range 3 { // others before it
			talk.tab.loads.Refuse(id)
		}
		c.steps(talk)
		if got := talk.tab.loads.Refused(id); got != c.want {
			t.Errorf("%s: %d refusals in a row, want %d", name, got, c.want)
		}
	}
}

// A backend ignores a client who has to knock again after a second; what a stranger sends says
// nothing but if the backend really does not answer it.
func TestWhoIgnores(t *testing.T) {
	again := func(c *talk, after uint32) {
		c.now += after
		c.next[Request]--
		c.send(Request, syn, 0)
	}
	for name, c := range map[string]struct {
		replies bool
		steps   func(c *talk)
		want    int64
	}{
		"once":               {true, func(c *talk) { c.send(Request, syn, 0) }, 3},
		"twice":              {true, func(c *talk) { c.send(Request, syn, 0); again(c, 1000) }, 4},
		"three times":        {true, func(c *talk) { c.send(Request, syn, 0); again(c, 1000); again(c, 2000) }, 5},
		"twice at once":      {true, func(c *talk) { c.send(Request, syn, 0); again(c, 10) }, 3},
		"with another SYN":   {true, func(c *talk) { c.send(Request, syn, 0); c.now += 1000; c.send(Request, syn, 0) }, 3},
		"which was answered": {true, func(c *talk) { c.send(Request, syn, 0); c.send(Reply, synAck, 0); again(c, 1000) }, 3},
		"replies are unseen": {false, func(c *talk) { c.send(Request, syn, 0); again(c, 1000) }, 3},
		"somebody got in": {true, func(c *talk) {
			c.send(Request, syn, 0)
			again(c, 1000)
			c.send(Reply, synAck, 0)
			c.send(Request, ack, 0)
		}, 0},
	} {
		talk := newTalk(t, c.replies)
		id := talk.tab.Flow(talk.ref).BackendID
		for range 3 {
			talk.tab.loads.Ignore(id)
		}
		c.steps(talk)
		if got := talk.tab.loads.Ignored(id); got != c.want {
			t.Errorf("%s: ignored %d times in a row, want %d", name, got, c.want)
		}
		if talk.tab.loads.Troubled() != (c.want > 0) {
			t.Errorf("%s: troubled %t", name, talk.tab.loads.Troubled())
		}
	}
}
