package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/afxlb/afxlb/bench/result"
)

// table is one of the tables that results are shown in.
type table struct{ name, title string }

var (
	atRest    = table{"rest", "start, and at rest"}
	askedIdle = table{"asks idle", "the command line, from the start of a process to its end"}
	askedBusy = table{"asks meanwhile", "the command line while addresses die and the file changes"}
	scraped   = table{"scrape", "all metrics, from the connection to the last byte"}
	change    = table{"change", "a change, until the control socket shows it"}
	calm      = table{"echo calm", "echo requests to a service's address, beside those to the host's own"}
	scraping  = table{"echo scraping", "echo requests while metrics are read again and again"}
	changing  = table{"echo changing", "echo requests while weights, routes and MAC addresses change and addresses die"}
)

func dying(k kind) table {
	return table{"death " + string(k), map[kind]string{
		silent:  "an address drops all packets, and comes back",
		removed: "an address is gone, and comes back",
	}[k]}
}

// Aim is the name under which it is filed what was set out to be reached.
const Aim = "aim"

// sample is a row of the table.
func (t table) sample(sc Scene, who string, values ...result.Value) result.Sample {
	return result.Sample{
		Suite: Suite, Name: fmt.Sprintf("%s %s %s", t.name, sc, who), Table: t.title, Values: values,
		Labels: map[string]string{"scene": sc.String(), "contender": who, "of": t.name},
	}
}

func took(name string, d time.Duration) result.Value {
	return result.Value{Name: name, Unit: "ns", V: float64(d.Nanoseconds())}
}

func share(name string, of float64) result.Value {
	return result.Value{Name: name, Unit: "% of a core", V: 100 * of}
}

func memory(name string, bytes float64) result.Value {
	return result.Value{Name: name, Unit: "MB", V: bytes / 1e6}
}

func detail(v result.Value) result.Value {
	v.Detail = true
	return v
}

// samples are the figures of a turn but those of echo requests.
func samples(who string, sc Scene, f *found) []result.Sample {
	all := []result.Sample{
		atRest.sample(sc, who,
			took("all up", f.up), share("idle", f.idle), share("500 routes a second", f.flooded), memory("resident", float64(f.resident)),
			memory("peak", float64(f.peak)), detail(result.Value{Name: "changes of routes", Unit: "/s", More: true, V: f.rate})),
		askedIdle.sample(sc, who, f.quiet.values()...),
		askedBusy.sample(sc, who, f.busy.values()...),
		scraped.sample(sc, who, took("scrape", median(f.scraped)), took("worst scrape", worst(f.scraped))),
		change.sample(sc, who,
			took("reload", median(f.alone)), took("worst reload", worst(f.alone)),
			took("reload, asked meanwhile", median(f.beside)), took("worst reload, asked meanwhile", worst(f.beside)),
			took("MAC moved", median(f.moved)), took("worst MAC moved", worst(f.moved))),
	}
	for _, k := range kinds {
		d := f.deaths[k]
		all = append(all, dying(k).sample(sc, who,
			took("out of the last service", d.out), result.Value{Name: "healthy ones taken out", V: float64(d.mistaken)}, took("all up again", d.back)))
	}
	return all
}

func (a *asks) values() []result.Value {
	return []result.Value{
		took("status", median(a.status)), took("worst status", worst(a.status)),
		took("backends", median(a.backends)), took("worst backends", worst(a.backends)),
		{Name: "failed", V: float64(a.failed)}, detail(result.Value{Name: "asked", More: true, V: float64(len(a.backends))}),
	}
}

// aims are what is to be reached in the scene of a thousand services, as rows beside
// the figures. A smaller scene can be held to it all the more.
func aims(sc Scene) []result.Sample {
	const ms = time.Millisecond
	asks := []result.Value{took("status", 20*ms), took("backends", 200*ms), {Name: "failed", V: 0}}
	all := []result.Sample{
		atRest.sample(sc, Aim, took("all up", 5*time.Second), share("idle", 0.03), share("500 routes a second", 0.03), memory("resident", 600e6)),
		askedIdle.sample(sc, Aim, asks...),
		askedBusy.sample(sc, Aim, asks...),
		scraped.sample(sc, Aim, took("scrape", 250*ms)),
		change.sample(sc, Aim, took("reload", 200*ms), took("reload, asked meanwhile", 200*ms), took("MAC moved", 500*ms)),
	}
	for _, k := range kinds {
		all = append(all, dying(k).sample(sc, Aim, took("out of the last service", sc.due()), result.Value{Name: "healthy ones taken out", V: 0}))
	}
	return all
}

// echoed is what echo requests have found in all rounds. One answer of ten thousand is
// too rare for a round: the figures have one value, of all answers together.
type echoed struct {
	rows []result.Sample // without values, in the order measured
	all  []*times        // of these
}

func (e *echoed) add(who string, sc Scene, f *found) {
	for _, of := range []struct {
		table table
		times *times
	}{{calm, f.calm}, {scraping, f.scraping}, {changing, f.changing}} {
		row := of.table.sample(sc, who)
		i := slices.IndexFunc(e.rows, func(r result.Sample) bool { return r.Name == row.Name })
		if i < 0 {
			i = len(e.rows)
			e.rows, e.all = append(e.rows, row), append(e.all, newTimes())
		}
		e.all[i].merge(of.times)
	}
}

// samples returns the rows, and those of what is aimed at.
func (e *echoed) samples(scenes []Scene) []result.Sample {
	for i, t := range e.all {
		e.rows[i].Values = t.values()
	}
	all := slices.Clone(e.rows)
	for _, sc := range scenes {
		for _, t := range []table{calm, scraping, changing} {
			all = append(all, t.sample(sc, Aim, took("added p99.99", time.Millisecond), result.Value{Name: "lost", V: 0}))
		}
	}
	return all
}

func (t *times) values() []result.Value {
	at := func(h *hdrhistogram.Histogram, q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	added := func(q float64) time.Duration { return at(t.worker, q) - at(t.kernel, q) }
	return []result.Value{
		took("added p99.99", added(99.99)), took("added worst", added(100)), took("added p99", added(99)), took("added p50", added(50)),
		took("p99.99", at(t.worker, 99.99)), took("worst", at(t.worker, 100)),
		took("mean wait for the CPU", t.waited/time.Duration(max(t.runs, 1))), took("the host's own p99.99", at(t.kernel, 99.99)), detail(took("the host's own worst", at(t.kernel, 100))),
		{Name: "lost", V: float64(t.lost)}, detail(result.Value{Name: "answers", More: true, V: float64(t.worker.TotalCount())}),
	}
}
