package replay

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// AppendJSON appends r as one line of JSON to b. The keys are always the same, in the same
// order; what there is nothing to say of is empty, null or an empty list. It is written by
// hand since a capture may have millions of packets.
func (r *Record) AppendJSON(b []byte) []byte {
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(r.Index), 10)
	b = append(b, `,"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for _, field := range [...]struct{ key, value string }{
		{`,"interface":`, r.Interface}, {`,"steering":`, r.Steering}, {`,"verdict":`, r.Verdict}, {`,"drop_reason":`, r.Reason},
		{`,"service":`, r.Service}, {`,"backend":`, r.Backend}, {`,"flow_state":`, r.Flow}, {`,"direction":`, r.Direction},
	} {
		b = append(b, field.key...)
		b = appendText(b, field.value)
	}
	b = append(b, ',')
	b = r.Tuple.appendJSON(b)
	b = append(b, `,"rewritten":`...)
	rest := r.Released
	switch len(r.Sent) {
	case 0:
		b = append(b, `null,"egress":null`...)
	case 1:
		b = r.Sent[0].appendJSON(b)
	default: // it was sent in pieces
		b = r.Sent[0].appendJSON(b)
		rest = append(r.Sent[1:], rest...)
	}
	b = append(b, `,"released":[`...)
	for i := range rest {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"rewritten":`...)
		b = rest[i].appendJSON(b)
		b = append(b, '}')
	}
	return append(b, "]}\n"...)
}

// appendJSON appends the values of rewritten and egress.
func (s *Sent) appendJSON(b []byte) []byte {
	b = append(b, '{')
	b = s.Tuple.appendJSON(b)
	b = append(b, `,"length":`...)
	b = strconv.AppendInt(b, int64(s.Length), 10)
	b = append(b, `},"egress":{"port":`...)
	b = appendText(b, s.Port)
	b = append(b, `,"source_mac":`...)
	b = appendMAC(b, s.SourceMAC)
	b = append(b, `,"destination_mac":`...)
	b = appendMAC(b, s.DestinationMAC)
	b = append(b, `,"vlans":[`...)
	for i, vlan := range s.VLANs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(vlan), 10)
	}
	return append(b, "]}"...)
}

// appendJSON appends the keys of a tuple.
func (t *Tuple) appendJSON(b []byte) []byte {
	b = append(b, `"protocol":`...)
	b = appendText(b, t.Protocol)
	b = append(b, `,"source":`...)
	b = appendEnd(b, t.Source)
	b = append(b, `,"destination":`...)
	return appendEnd(b, t.Destination)
}

// appendEnd appends an address with its port, if it has one.
func appendEnd(b []byte, a netip.AddrPort) []byte {
	b = append(b, '"')
	switch {
	case !a.Addr().IsValid():
	case a.Port() == 0:
		b = a.Addr().AppendTo(b)
	default:
		b = a.AppendTo(b)
	}
	return append(b, '"')
}

func appendMAC(b []byte, m packet.MAC) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i, c := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return append(b, '"')
}

// appendText appends a string; most need no escapes.
func appendText(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // of a string there is no error
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
