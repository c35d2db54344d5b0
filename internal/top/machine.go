package top

import (
	"fmt"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

var workerColumns = []column{
	{title: "QUEUE", width: 5},
	{title: "CPU", width: 3},
	{title: "recv/s", width: 7},
	{title: "fwd/s", width: 7},
	{title: "reply/s", width: 7},
	{title: "punt/s", width: 6, rank: 1},
	{title: "drop/s", width: 6},
	{title: "slow/s", width: 6},
	{title: "pkt/BATCH", width: 9, rank: 3},
	{title: "sleep/s", width: 7, rank: 4},
	{title: "FREE", width: 6, rank: 2},
	{title: "TO-RECV", width: 7, rank: 2},
	{title: "TO-SEND", width: 7, rank: 2},
	{title: "FRAMES", width: 6, rank: 5},
	{title: "BYTES", width: 5, rank: 7},
	{title: "BIND", width: 9, rank: 6, left: true},
	{title: "DETOUR", width: 6, rank: 8, left: true},
}

// workerRows has a worker's counts, and the ledger of its frames: what is free, with the
// kernel to receive into, and on its way out.
func workerRows(p pair) (rows []row) {
	before := byKey(p.before.status.Workers, workerKey)
	for i := range p.now.status.Workers {
		w := &p.now.status.Workers[i]
		old, rate := rate(p, before, workerKey(w))
		detour := "no"
		if w.Detour {
			detour = "yes"
		}
		f := &w.Frames
		rows = append(rows, row{workerKey(w), workerKey(w), []cell{
			exactly(w.Queue), {value: float64(w.CPU), print: cpu},
			number(rate(old.Received, w.Received)), number(rate(old.Forwarded, w.Forwarded)), number(rate(old.Replied, w.Replied)),
			number(rate(old.Punted, w.Punted)), number(rate(old.Dropped, w.Dropped)), number(rate(old.Misses, w.Misses)),
			number(rate(old.Received, w.Received) / rate(old.Batches, w.Batches)), number(rate(old.Sleeps, w.Sleeps)),
			exactly(f.Free), exactly(f.Filled), exactly(f.Held + f.Transmit), exactly(f.Total), exactly(f.Size), word(w.Bind), word(detour),
		}})
	}
	return rows
}

func workerKey(w *api.Worker) string { return strconv.Itoa(w.Queue) }

func cpu(v float64) string {
	if v < 0 {
		return "any"
	}
	return fmt.Sprintf("%.0f", v)
}

var portColumns = []column{
	{title: "INTERFACE", width: 10, most: 15, left: true},
	{title: "STATE", width: 8, left: true, state: true},
	{title: "XDP", width: 7, left: true, rank: 1},
	{title: "BIND", width: 9, left: true},
	{title: "QUEUES", width: 6},
	{title: "recv/s", width: 7},
	{title: "sent/s", width: 7},
	{title: "copied/s", width: 8, rank: 2},
	{title: "RECEIVED", width: 8, rank: 3},
	{title: "SENT", width: 6, rank: 3},
	{title: "WHY", width: 12, most: 80, rank: 2, left: true},
}

func portRows(p pair) (rows []row) {
	key := func(p *api.Port) string { return p.Name }
	before := byKey(p.before.status.Ports, key)
	for i := range p.now.status.Ports {
		port := &p.now.status.Ports[i]
		old, rate := rate(p, before, key(port))
		why := port.Reason
		if why == "" && port.Apart != "" {
			why = "copies: " + port.Apart
		}
		rows = append(rows, row{port.Name, port.Name, []cell{
			word(port.Name), word(port.State), word(port.XDPMode), word(port.Bind), exactly(len(port.Queues)),
			number(rate(old.Received, port.Received)), number(rate(old.Sent, port.Sent)), number(rate(old.Copied, port.Copied)),
			number(port.Received), number(port.Sent), word(why),
		}})
	}
	return rows
}

var dropColumns = []column{
	{title: "REASON", width: 18, most: 24, left: true},
	{title: "drop/s", width: 6},
	{title: "PACKETS", width: 7},
	{title: "FROM", width: 8, rank: 1, left: true},
	{title: "MEANING", width: 30, most: 200, left: true},
}

// dropRows has the counters of what was lost, if they are not 0.
func dropRows(p pair) (rows []row) {
	key := func(c *api.Counter) string { return c.Group + "/" + c.Name }
	before := byKey(p.before.counters, key)
	for i := range p.now.counters {
		c := &p.now.counters[i]
		if !c.Loss || c.Value == 0 {
			continue
		}
		old, rate := rate(p, before, key(c))
		rows = append(rows, row{key(c), c.Name, []cell{word(c.Name), number(rate(old.Value, c.Value)), number(c.Value), word(c.Group), word(c.Help)}})
	}
	order{by: 2, down: true}.sort(rows) // where the rates are the same
	return rows
}

var eventColumns = []column{
	{title: "TIME", width: 8, most: 19, left: true},
	{title: "LEVEL", width: 5, left: true, state: true},
	{title: "ABOUT", width: 12, most: 30, left: true},
	{title: "KIND", width: 15, most: 20, rank: 1, left: true},
	{title: "WHAT", width: 30, most: 200, left: true},
}

func eventRows(p pair) (rows []row) {
	for i := range p.now.events {
		e := &p.now.events[i]
		about := e.About()
		text := e.Text
		if e.Reason != "" {
			text += ": " + e.Reason
		}
		layout := time.TimeOnly
		if p.now.at.Sub(e.Time) > 20*time.Hour {
			layout = "01-02 15:04"
		}
		rows = append(rows, row{strconv.FormatUint(e.Seq, 10), about, []cell{
			{value: float64(e.Time.UnixNano()), print: func(float64) string { return e.Time.Local().Format(layout) }}, word(string(e.Severity)), word(about), word(string(e.Kind)), word(text),
		}})
	}
	return rows
}

var warningColumns = []column{
	{title: "FOR", width: 7},
	{title: "CODE", width: 12, most: 20, left: true},
	{title: "TEXT", width: 40, most: 300, left: true},
}

func warningRows(p pair) (rows []row) {
	for _, w := range p.now.status.Warnings {
		rows = append(rows, row{w.Code + " " + w.Text, w.Code, []cell{lasted(p.now.at, w.Since), word(w.Code), word(w.Text)}})
	}
	return rows
}
