// Counters become rates here: the difference of two values over the time between them, as the
// balancer has it. A counter that went back (it began anew) has no rate for once.

/** seconds is how much of the past is kept for charts. */
export const seconds = 120;

/** Rates has the rates of things of one kind by key, and of some of them the past. */
export class Rates {
  /** values: item to its counters; charted: the names of those whose past is kept. */
  constructor(key, values, charted = []) {
    Object.assign(this, {key, values, charted, have: new Map()});
  }

  /** feed takes the items as they were at a time, in seconds. */
  feed(items, time) {
    const gone = new Set(this.have.keys());
    for (const item of items) {
      const key = this.key(item);
      gone.delete(key);
      let r = this.have.get(key);
      if (!r) this.have.set(key, r = {at: null, last: {}, now: {}, times: [], past: this.charted.map(() => [])});
      this.advance(r, this.values(item), time);
    }
    for (const key of gone) this.have.delete(key);
  }

  advance(r, values, time) {
    const took = time - r.at;
    if (r.at != null && took <= 0) return;
    for (const [name, value] of Object.entries(values)) {
      r.now[name] = r.at == null || !(name in r.last) || value < r.last[name] ? null : (value - r.last[name]) / took;
    }
    Object.assign(r, {at: time, last: values});
    r.times.push(time);
    this.charted.forEach((name, i) => r.past[i].push(r.now[name]));
    while (r.times[0] < time - seconds - 5) {
      r.times.shift();
      for (const p of r.past) p.shift();
    }
  }

  /** of returns the rates of the thing of a key now; those that are not known are missing. */
  of(key) {
    return this.have.get(key)?.now ?? {};
  }

  /** past returns what a chart draws: the times, and the rates of each charted name. */
  past(key) {
    const r = this.have.get(key);
    return r ? [r.times, ...r.past] : [[], ...this.charted.map(() => [])];
  }

  /** reset forgets all: the counters are another process's. */
  reset() {
    this.have.clear();
  }
}
