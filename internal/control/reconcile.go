package control

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
)

// ErrCommit says that the kernel refused a part of what was planned. The rest is in
// force, and it is tried again.
var ErrCommit = errors.New("the kernel does not take the steering")

// commitment is what is in force, and what it was made from.
type commitment struct {
	spec    *balancer.Spec
	facts   balancer.Facts
	machine machine
	plan    *bpf.Plan // of spec and machine
	table   *balancer.Table
	err     error // what the kernel said of the last commit
}

// reconcile makes what is in force what it should be, by all that is known now, and
// publishes it.
func (r *Reconciler) reconcile() error {
	now := time.Now()
	r.mu.Lock()
	o := &r.observed
	moves := o.moves() // before the look, which so knows where everybody has gone
	had := o.snapshot.Local
	returned := o.look(now)
	a := o.assess(o.groups, now)
	a.sooner(o.troubles.wait(now))
	snapshot := o.snapshot
	r.mu.Unlock()
	if gained(had, snapshot.Local) { // as by VRRP, from a machine that had it
		r.engine.Succeed()
	}
	r.follower.follow(moves, snapshot)
	if returned && r.probing {
		r.prober.Kick()
	}
	err := r.commit(r.spec, a)
	if err != nil {
		a.sooner(r.backoff())
	} else {
		r.retries = 0
	}
	r.publish(a, err, now)
	r.requeue(a.wait)
	return err
}

// gained reports whether the machine has an address that it had not; both are sorted, and nil
// is that nobody has looked.
func gained(had, has []netip.Addr) bool {
	return had != nil && slices.ContainsFunc(has, func(a netip.Addr) bool {
		_, known := slices.BinarySearchFunc(had, a, netip.Addr.Compare)
		return !known
	})
}

// adopt makes spec and these overrides the desired state, and returns what that changes.
func (r *Reconciler) adopt(spec *balancer.Spec, overrides Overrides) (*Difference, error) {
	now := time.Now()
	next, err := r.propose(spec, overrides, now)
	if err != nil {
		return nil, err
	}
	changed := &Difference{}
	if next != nil { // else it is in force already
		changed = r.difference(next, overrides)
		_ = r.enforce(next) // what the kernel refuses the reconciliation below finds again
	}
	r.spec = spec
	r.mu.Lock()
	o := &r.observed
	o.overrides = overrides
	o.install(spec, o.regroup(spec, overrides, now)) // anew: answers may have come meanwhile
	targets, addrs, hops := o.targets(), o.addresses(), o.hops
	r.mu.Unlock()
	if r.probing {
		r.prober.Set(targets)
	}
	if hops != nil {
		hops.Set(addrs)
	}
	if err = r.reconcile(); err != nil && !errors.Is(err, ErrCommit) { // the world has changed since
		err = fmt.Errorf("%w: %w", ErrCommit, err)
	}
	changed.Generation = r.View().Generation()
	return changed, err
}

// propose returns what would be in force if spec were desired, under these overrides; nil if
// that is in force.
func (r *Reconciler) propose(spec *balancer.Spec, overrides Overrides, now time.Time) (*draft, error) {
	r.mu.Lock()
	a := r.observed.assess(r.observed.regroup(spec, overrides, now), now)
	r.mu.Unlock()
	return r.draft(spec, a)
}

// commit puts into force what spec and the assessment ask for, unless that is in force
// already. Only an [ErrCommit] leaves a trace.
func (r *Reconciler) commit(spec *balancer.Spec, a *assessment) error {
	next, err := r.draft(spec, a)
	if next == nil || err != nil {
		return err
	}
	return r.enforce(next)
}

// draft is what is planned in full, and not in force yet.
type draft struct {
	commitment
	begun      time.Time
	compiled   *balancer.Draft
	conditions [][]condition
}

// draft plans what spec and the assessment ask for, and touches nothing. It returns nil if
// that is in force already.
func (r *Reconciler) draft(spec *balancer.Spec, a *assessment) (*draft, error) {
	was := &r.inForce
	a.machine.former = r.former(spec)
	sameSteering := was.spec == spec && was.machine.equal(&a.machine)
	if was.err == nil && was.table != nil && sameSteering && sameFacts(&was.facts, &a.facts) {
		return nil, nil
	}
	next := &draft{begun: time.Now(), commitment: commitment{spec: spec, facts: a.facts, machine: a.machine, plan: was.plan}, conditions: a.conditions}
	var err error
	if !sameSteering || next.plan == nil {
		if next.plan, err = plan(spec, &a.machine); err != nil {
			return nil, err
		}
	}
	a.facts.Oldest = r.engine.Oldest()
	if next.compiled, err = r.compiler.Compile(spec, &a.facts); err != nil {
		return nil, fmt.Errorf("make a balancing table: %w", err)
	}
	next.table = next.compiled.Table
	return next, nil
}

// enforce puts a draft into force. The error is an [ErrCommit].
func (r *Reconciler) enforce(next *draft) error {
	r.compiler.Commit(next.compiled)
	r.easing.adopt(next.table, next.spec, next.conditions, time.Now())
	if err := r.engine.Apply(next.table, next.plan); err != nil {
		next.err = fmt.Errorf("%w: %w", ErrCommit, err)
	}
	if !maps.Equal(next.facts.Ramps, r.inForce.facts.Ramps) {
		r.mu.Lock()
		r.observed.stepped = stepped{time.Now(), time.Since(next.begun)}
		r.mu.Unlock()
	}
	r.inForce, r.sources = next.commitment, append(sources(next.spec), next.machine.former...)
	r.log.Debug("new table", zap.Uint64("generation", next.table.Generation))
	return next.err
}

// sameFacts compares all but Oldest, which is no fact about the world.
func sameFacts(a, b *balancer.Facts) bool {
	return slices.Equal(a.Ports, b.Ports) && a.Ephemeral == b.Ephemeral && slices.Equal(a.Gateways, b.Gateways) && maps.Equal(a.States, b.States) &&
		maps.Equal(a.NextHops, b.NextHops) && maps.EqualFunc(a.Ways, b.Ways, slices.Equal) && maps.Equal(a.Drained, b.Drained) &&
		maps.Equal(a.Weights, b.Weights) && maps.Equal(a.Ramps, b.Ramps)
}

const firstRetry, lastRetry = time.Second, 30 * time.Second

// backoff returns how long to wait after one more commit that went wrong.
func (r *Reconciler) backoff() time.Duration {
	wait := firstRetry << min(r.retries, 10)
	r.retries++
	return min(wait, lastRetry)
}
