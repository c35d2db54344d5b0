// The head of the page: the balancer's state, its warnings, and five figures.

import {List, badge, byId, el, show, text} from './dom.js';
import {count, short, since} from './format.js';
import {Rates} from './rates.js';
import {Spark} from './spark.js';

const lost = (counters) => counters.filter((c) => c.loss).reduce((sum, c) => sum + c.value, 0);
const named = (counters, name) => counters.find((c) => c.group === 'packets' && c.name === name)?.value ?? 0;

/** tiles: what each says, of the balancer b and the rates r. */
const tiles = [
  {title: 'Packets a second', series: ['received'], value: (b, r) => short(r.received), note: (b, r) => `${short(r.forwarded)} forwarded`},
  {title: 'New flows a second', series: ['inserted'], value: (b, r) => short(r.inserted), note: (b) => `${count(b.status.flows.inserted)} since the start`},
  {title: 'Flows now', value: (b) => short(b.status.flows.flows), note: (b) => `room for ${count(b.status.flows.max_flows)}`},
  {title: 'Drops a second', series: ['lost'], bad: true, value: (b, r) => short(r.lost), note: (b) => `${count(lost(b.counters))} since the start`},
  {
    title: 'Backends up', value: (b) => `${b.status.backends.up} of ${b.status.backends.total}`,
    note: (b) => `${b.status.services.up} of ${b.status.services.total} services up`,
  },
];
const charted = tiles.flatMap((t) => t.series ?? []);

class Tile {
  constructor(tile) {
    this.tile = tile;
    this.value = el('strong');
    this.note = el('span', {class: 'note'});
    this.node = el('div', {class: 'tile'}, el('h2', {}, tile.title), this.value, this.note);
    if (tile.series) {
      this.spark = new Spark(tile.bad ? ['--bad'] : ['--line-1']);
      this.node.append(this.spark.node);
    }
  }

  draw(b, rates) {
    text(this.value, this.tile.value(b, rates.of('all')));
    text(this.note, this.tile.note(b, rates.of('all')));
    if (this.spark) {
      const [times, ...past] = rates.past('all');
      this.spark.draw([times, ...this.tile.series.map((name) => past[charted.indexOf(name)])]);
    }
  }
}

export class Glance {
  constructor() {
    this.rates = new Rates(() => 'all', (b) => ({
      received: named(b.counters, 'received'), forwarded: named(b.counters, 'forwarded'), inserted: b.status.flows.inserted, lost: lost(b.counters),
    }), charted);
    this.tiles = tiles.map((t) => new Tile(t));
    byId('glance').append(...this.tiles.map((t) => t.node));
    this.warnings = new List(byId('warnings').querySelector('ul'), (w) => w.code + w.text, () => new Warning());
    this.facts = new List(byId('facts'), (f) => f[0], () => new Fact());
  }

  reset() {
    this.rates.reset();
  }

  feed(b, taken) {
    if (b.status) this.rates.feed([b], taken('counters'));
  }

  draw(b) {
    const s = b.status;
    if (!s) return;
    badge(byId('state'), s.state);
    text(byId('reason'), s.reason);
    const down = s.services.total - s.services.up;
    document.title = (down ? `(${down} down) ` : '') + `${s.state}: afxlb`;
    this.facts.set([
      ['up', since(s.started, b.now)], ['generation', s.generation], ['interface', s.interface], ['XDP', s.xdp_mode], ['sockets', s.bind],
      ['version', s.version],
    ].filter((f) => f[1] !== ''));
    text(byId('process'), `${s.config}, process ${s.pid}`);
    const list = s.warnings ?? [];
    this.warnings.set(list, b.now);
    show(byId('warnings'), list.length > 0);
    for (const t of this.tiles) t.draw(b, this.rates);
  }
}

class Warning {
  constructor() {
    this.code = el('code');
    this.text = el('span');
    this.since = el('span', {class: 'note'});
    this.node = el('li', {}, this.code, ' ', this.text, ' ', this.since);
  }

  update(w, now) {
    text(this.code, w.code);
    text(this.text, w.text);
    const age = since(w.since, now);
    text(this.since, age && `for ${age}`);
  }
}

class Fact {
  constructor() {
    this.name = el('dt');
    this.value = el('dd');
    this.node = el('div', {}, this.name, this.value);
  }

  update([name, value]) {
    text(this.name, name);
    text(this.value, value);
  }
}
