package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/bench/result"
)

// both is what one round found about a case.
type both struct{ own, flooded outcome }

// Run measures. What cannot be had on this machine is noted, not an error.
func Run(ctx context.Context, p Plan) (err error) {
	stands := map[string]*stand{}
	defer func() {
		for _, s := range stands {
			err = errors.Join(err, s.Close())
		}
	}()
	var cases []Case
	missing := map[string]bool{} // stands
	for _, c := range p.Cases {
		if missing[c.stand()] {
			continue
		}
		if stands[c.stand()] == nil {
			p.Progress("starting %s", c)
			s, err := newStand(ctx, c, p.Afxlb)
			switch {
			case errors.Is(err, peer.ErrAbsent):
				missing[c.stand()] = true
				p.Note(err.Error())
				continue
			case errors.Is(err, errCrowded):
				missing[c.stand()] = true
				p.Note(fmt.Sprintf("%s: not measured: %v", c, err))
				continue
			case err != nil:
				return fmt.Errorf("%s: %w", c, err)
			}
			stands[c.stand()] = s
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return errors.New("nothing can be measured here: see the notes")
	}
	for round := range p.Rounds {
		p.Progress("round %d of %d, no load", round+1, p.Rounds)
		if err := rest(ctx, p, stands); err != nil {
			return err
		}
		found := map[Case]both{}
		for i, c := range cases {
			p.Progress("round %d of %d, %d/%d  %s", round+1, p.Rounds, i+1, len(cases), c)
			own, flooded, err := stands[c.stand()].both(ctx, c, p.Time)
			if err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
			found[c] = both{own, flooded}
		}
		for _, c := range cases {
			p.Sample(sample(c, found))
		}
	}
	return nil
}

// rest measures what the daemons use of a CPU while no packet comes, all at once.
func rest(ctx context.Context, p Plan, stands map[string]*stand) error {
	var names []string
	var before []time.Duration
	for _, name := range slices.Sorted(maps.Keys(stands)) {
		if d := stands[name].daemon; d != nil {
			used, err := d.CPU()
			if err != nil {
				return fmt.Errorf("%s without load: %w", name, err)
			}
			names, before = append(names, name), append(before, used)
		}
	}
	start := time.Now()
	if err := pass(ctx, p.Time); err != nil {
		return err
	}
	for i, name := range names {
		used, err := stands[name].daemon.CPU()
		if err != nil {
			return fmt.Errorf("%s without load: %w", name, err)
		}
		p.Sample(result.Sample{
			Suite: Suite, Name: name + " idle", Table: "no packets", Labels: map[string]string{"load": "none"},
			Values: []result.Value{{Name: "of a CPU", V: (used - before[i]).Seconds() / time.Since(start).Seconds()}},
		})
	}
	return nil
}

// sample files what was found about a case, beside what the others did in that round.
func sample(c Case, found map[Case]both) result.Sample {
	f := found[c]
	s := result.Sample{Suite: Suite, Name: c.String(), Table: "one arm, 64-byte frames", Labels: c.labels()}
	add := func(name, unit string, more, detail bool, v float64) {
		s.Values = append(s.Values, result.Value{Name: name, Unit: unit, More: more, Detail: detail, V: v})
	}
	if c.Contender == receive {
		s.Table = "receive side alone, 64-byte frames, flooded"
		add("looked up", "packets/s", true, false, f.flooded.done)
		add("offered", "packets/s", false, false, f.flooded.offered)
		add("lost", "", false, false, f.flooded.lost())
		add("CPU", "", false, true, f.flooded.cpu)
		return s
	}
	add("per CPU second", "packets/s", true, false, f.own.perCPU())
	add("forwarded", "packets/s", true, false, f.own.done)
	for _, r := range rivals {
		if rival, ok := rivalOf(c, r, found); ok {
			add("of "+r, "", true, false, f.own.perCPU()/found[rival].own.perCPU())
			add("flooded, of "+r, "", true, true, f.flooded.done/found[rival].flooded.done)
		}
	}
	add("lost", "", false, true, f.own.lost())
	add("CPU", "", false, true, f.own.cpu)
	add("CPU, receiving", "", false, true, f.own.receiving)
	add("flooded: forwarded", "packets/s", true, false, f.flooded.done)
	add("flooded: lost", "", false, false, f.flooded.lost())
	add("flooded: offered", "packets/s", false, true, f.flooded.offered)
	add("flooded: received", "packets/s", false, true, f.flooded.received)
	add("flooded: CPU", "", false, true, f.flooded.cpu)
	add("flooded: CPU, receiving", "", false, true, f.flooded.receiving)
	return s
}

// rivals are whom the daemon is compared with; one that is watched, with itself.
var rivals = []string{testpmd, nft, forward, native}

// rivalOf returns the rival's case to compare a case of afxlb with: that with as many
// flows, or for those to whom flows are nothing, any.
func rivalOf(c Case, rival string, found map[Case]both) (Case, bool) {
	if c.Contender != native && c.Contender != asavie && c.Contender != watched || c.Queues > 1 || (c.Contender == watched) != (rival == native) {
		return Case{}, false
	}
	for r := range found {
		if r.Contender == rival && (r.Mode == swap || r.Flows == c.Flows && r.Mode == c.Mode && r.Family == c.Family) {
			return r, true
		}
	}
	return Case{}, false
}
