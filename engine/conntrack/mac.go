package conntrack

// ClientMAC returns where the client's packets come from, so that replies go back the
// same way, as [packet.MAC.Word] has it.
func (f *Flow) ClientMAC() uint64 { return f.mac.Load() }

// LearnClientMAC changes what ClientMAC returns. The caller knows that a packet of the
// client itself told so: a false one would have the replies.
func (f *Flow) LearnClientMAC(word uint64) { f.mac.Store(word) }
