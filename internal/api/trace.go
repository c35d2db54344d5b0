package api

import (
	"context"
	"net/url"
	"strconv"
)

// TraceQuery asks what would become of a packet.
type TraceQuery struct {
	Packet    string `query:"packet" required:"true" maxLength:"1024" doc:"as tcp 198.51.100.7:40000 > 192.0.2.10:80, udp, or icmp without ports; then flags SA, length 100, vlan 5, ttl 64, seq, ack, from MAC, df, more, offset, id"`
	Interface string `query:"interface" doc:"by which it comes; left out: the first"`
	Queue     int    `query:"queue" minimum:"0" doc:"by which it comes; each has turns of its own"`
}

// Trace is what would become of one packet now.
type Trace struct {
	Packet     string      `json:"packet" doc:"as it was understood"`
	Interface  string      `json:"interface"`
	Queue      int         `json:"queue"`
	Generation uint64      `json:"generation" doc:"of the balancing table"`
	Steering   string      `json:"steering" doc:"why the kernel hands it over, or passed"`
	Verdict    string      `json:"verdict" doc:"passed: it is the kernel's; forwarded, replied, punted, dropped, or held: a fragment that waits"`
	Reason     string      `json:"reason" doc:"of a drop"`
	Service    string      `json:"service"`
	Backend    string      `json:"backend"`
	Direction  string      `json:"direction" doc:"of its flow: request or reply"`
	Flow       string      `json:"flow_state" doc:"of its flow, after it"`
	Steps      []TraceStep `json:"steps"`
	Sent       []TraceSent `json:"sent" doc:"what would leave for it"`
}

// TraceStep is one step of a packet's way.
type TraceStep struct {
	Step string `json:"step" doc:"steering, parse, service, flow, persistence, pick, way, source, mtu, answer, rewrite, out or verdict"`
	By   string `json:"by" doc:"what decided: a map's entry, a service, a flow, a slot of the hash, a rule"`
	Text string `json:"text"`
}

// TraceSent is a frame that would leave.
type TraceSent struct {
	Interface      string   `json:"interface"`
	Text           string   `json:"text"`
	Length         int      `json:"length"`
	SourceMAC      string   `json:"source_mac"`
	DestinationMAC string   `json:"destination_mac"`
	VLANs          []uint16 `json:"vlans"`
}

// Trace asks what would become of a packet.
func (c *Client) Trace(ctx context.Context, t *TraceQuery) (Trace, error) {
	q := url.Values{"packet": {t.Packet}, "interface": {t.Interface}}
	if t.Queue != 0 {
		q.Set("queue", strconv.Itoa(t.Queue))
	}
	return get[Trace](ctx, c, "/v1/trace", q)
}
