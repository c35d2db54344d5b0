package packettest

import "iter"

// option is an option of IPv4 or TCP, which have one format (RFC 791, RFC 9293).
type option struct {
	kind   uint8
	length uint8
	data   []byte
}

// options splits well-formed option bytes.
func options(b []byte) iter.Seq[option] {
	return func(yield func(option) bool) {
		for len(b) > 0 {
			o := option{kind: b[0], length: 1}
			if o.kind > 1 { // neither end of list nor no-operation
				o.length = b[1]
				o.data = b[2:o.length]
			}
			if !yield(o) {
				return
			}
			b = b[o.length:]
		}
	}
}
