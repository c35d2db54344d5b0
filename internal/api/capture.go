package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// CaptureFilter says which packets to capture, and how many. What is left out is no condition.
type CaptureFilter struct {
	Service string   `query:"service" doc:"only packets of this service"`
	Backend string   `query:"backend" doc:"only packets of this backend"`
	Address string   `query:"address" format:"ip" doc:"only packets from or to this address, as they came or as they left"`
	Verdict []string `query:"verdict" doc:"only those that ended so: forwarded, replied, punted, dropped, or reasons of a drop, as counters has them"`
	Filter  string   `query:"filter" maxLength:"4096" doc:"a part of pcap-filter(7), of packets as they came or as they left"`
	Count   uint64   `query:"count" doc:"end after so many packets"`
	Time    string   `query:"time" doc:"end after a duration, as 10s"`
	Rate    int      `query:"rate" minimum:"0" doc:"packets a second at most"`
	Snaplen int      `query:"snaplen" minimum:"0" doc:"bytes of each packet at most"`
	Sample  int      `query:"sample" minimum:"0" doc:"look at one packet in so many"`
}

// Captured writes what is captured, until ctx ends or all is there that was asked for. An
// error is of the writing.
type Captured func(ctx context.Context, to io.Writer) error

// CaptureType is pcapng's, as Wireshark has registered no other.
const CaptureType = "application/x-pcapng"

// captureTimeout is how long who captures may leave what it has got unread. Meanwhile copies are
// lost, and no packets; a pager or a breakpoint is no reason to end it.
const captureTimeout = time.Minute

// capturing adds the endpoint that streams packets. It is a change in that packets have what users
// send, which is not for everybody who may read.
func (h *handler) capturing() {
	op := operation[Problem](h, http.MethodPost, "/v1/capture", "Capture packets")
	op.Description = "It answers with pcapng, as it comes: each packet as it came and, if it left, as it left, with what became of it for a comment. " +
		"There are four at a time, each of which has the place of a stream. A client that reads too slowly loses copies, never packets; the interface statistics blocks, " +
		"one every two seconds and at the end, tell how many. It takes no body, and is for those who may change something: packets have what users send."
	op.Responses["200"].Content = map[string]*huma.MediaType{CaptureType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	op.Middlewares = huma.Middlewares{func(c huma.Context, next func(huma.Context)) { // before one is begun
		if _, w := humago.Unwrap(c); h.streams.enter(w) {
			defer h.streams.leave()
			next(c)
		}
	}}
	register(h, op, func(_ context.Context, in *CaptureFilter) (Captured, error) {
		if err := h.known(in.Service, in.Backend); err != nil {
			return nil, err
		}
		return h.source.Capture(in)
	}, h.capture)
}

func (h *handler) capture(w http.ResponseWriter, r *http.Request, write Captured) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-h.streams.end:
			cancel()
		case <-ctx.Done():
		}
	}()
	// The server reads on, to see the client leave; only a test's recorder has no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", CaptureType)
	w.Header().Set("Cache-Control", "no-store")
	if err := write(ctx, flushed{w}); err != nil {
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	}
}

// flushed sends each write on its way at once.
type flushed struct{ w http.ResponseWriter }

func (f flushed) Write(b []byte) (int, error) {
	c := http.NewResponseController(f.w)
	_ = c.SetWriteDeadline(time.Now().Add(captureTimeout))
	n, err := f.w.Write(b)
	if err == nil {
		err = c.Flush()
	}
	return n, err
}

// Capture captures packets: the answer is pcapng, for the caller to close. It ends with io.EOF
// when all is there, or the balancer stops.
func (c *Client) Capture(ctx context.Context, f *CaptureFilter) (io.ReadCloser, error) {
	q := url.Values{"service": {f.Service}, "backend": {f.Backend}, "address": {f.Address}, "filter": {f.Filter}, "time": {f.Time}}
	if len(f.Verdict) > 0 {
		q["verdict"] = []string{strings.Join(f.Verdict, ",")}
	}
	for name, n := range map[string]uint64{"count": f.Count, "rate": uint64(f.Rate), "snaplen": uint64(f.Snaplen), "sample": uint64(f.Sample)} {
		if n != 0 {
			q.Set(name, strconv.FormatUint(n, 10))
		}
	}
	return c.open(ctx, http.MethodPost, "/v1/capture", q, nil, CaptureType, c.silence)
}

// Refuse returns an error that the API answers with a status and this detail.
func Refuse(status int, detail string) error { return newProblem(status, detail) }
