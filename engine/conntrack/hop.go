package conntrack

// ClientHop returns where the client's packets come from, so that replies go back the
// same way: a hop word, see [balancer.LinkID.Word].
func (f *Flow) ClientHop() uint64 { return f.hop.Load() }

// LearnClientHop changes what ClientHop returns. The caller knows that a packet of the
// client itself told so: a false one would have the replies.
func (f *Flow) LearnClientHop(word uint64) { f.hop.Store(word) }
