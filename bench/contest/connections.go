package contest

import (
	"context"
	"fmt"

	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/result"
)

// ConnectionsSuite is the suite's name.
const ConnectionsSuite = "connections"

// atOnce is how many clients there are: connections that are open at a time.
const atOnce = 64

// Connections measures how many TCP connections a second are made, each with one
// request of 64 bytes and an answer, and closed by the client; and how many requests a
// second are answered on connections that are kept. Each takes p.Time. With a request
// that failed, the figures would mean nothing: they are left out, and a note says so.
//
// The cost is CPU time on the balancer: of its process, and of the kernel's thread that
// receives for it, which for nft is all there is but for clearing its table now and
// then. What the ends and the switch cost is not in it, but it bounds the rates, since they have the rest of the CPUs: a contender
// that is not the bottleneck is known by its cost rather than its rate.
func Connections(ctx context.Context, p Plan) error {
	field, err := p.pick(func(c Contender) bool { return c.Name != busy }) // it takes a CPU whatever it does
	if err != nil {
		return err
	}
	return p.rounds(ctx, field, threads, func(ctx context.Context, s *stage, _ int) error {
		for _, of := range []struct {
			kind       ends.Kind
			name, unit string
		}{
			{ends.Connect, "new connections", "connections/s"},
			{ends.Load, "requests on kept connections", "requests/s"},
		} {
			values, err := p.carry(ctx, s, of.kind, of.unit)
			if err != nil {
				return err
			}
			if values == nil {
				continue
			}
			p.Sample(result.Sample{
				Suite: ConnectionsSuite, Table: of.name, Name: fmt.Sprintf("%s %s", of.kind, s.contender.Name),
				Labels: map[string]string{"kind": string(of.kind), "contender": s.contender.Name}, Values: values,
			})
		}
		return nil
	})
}

// carry has the client do as many as it can. There are no values if some have failed.
func (p *Plan) carry(ctx context.Context, s *stage, kind ends.Kind, unit string) ([]result.Value, error) {
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	found, err := s.ask(ctx, ends.Task{Kind: kind, Protocol: "tcp", Sockets: atOnce, Duration: p.Time})
	if err != nil {
		return nil, err
	}
	after, err := s.cpu()
	if err != nil {
		return nil, err
	}
	done, failed := ends.Value(found, "done"), ends.Value(found, "failed")
	if done == 0 {
		return nil, fmt.Errorf("%s: of many none was answered", kind)
	}
	if failed > 0 {
		p.Note(fmt.Sprintf("%s %s: a round is left out, %.0f were answered, %.0f failed %s", kind, s.contender.Name, done, failed, found.Labels[ends.Why]))
		return nil, nil
	}
	values := []result.Value{{Name: "rate", Unit: unit, More: true, V: ends.Value(found, "rate")}}
	if s.running != nil {
		own, receiving := (after.own-before.own).Seconds()/done*1e6, (after.receiving-before.receiving).Seconds()/done*1e6
		values = append(values,
			result.Value{Name: "CPU", Unit: "s/million", V: own + receiving},
			result.Value{Name: "of its process", Unit: "s/million", V: own},
			result.Value{Name: "of receiving", Unit: "s/million", V: receiving})
	}
	return values, nil
}
