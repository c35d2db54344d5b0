// Drops by reason, and all counters, each with the sentence that explains it.

import {List, byId, el, heads, row, show, text} from './dom.js';
import {count, short} from './format.js';
import {Rates} from './rates.js';

const columns = [
  {title: 'Reason', class: 'name'},
  {title: 'A second', class: 'number'},
  {title: 'Since the start', class: 'number'},
  {title: 'What it means', class: 'meaning medium'},
];
const key = (c) => c.group + '/' + c.name;

export class Counters {
  constructor() {
    this.rates = new Rates(key, (c) => ({value: c.value}));
    const [drops, all] = [byId('drops').querySelector('table'), byId('counters').querySelector('table')];
    for (const t of [drops, all]) heads(t, columns);
    this.table = drops;
    this.drops = new List(drops.tBodies[0], key, () => new Counter(false));
    this.all = new List(all.tBodies[0], key, () => new Counter(true));
    byId('counters').addEventListener('toggle', () => this.onchange());
  }

  reset() {
    this.rates.reset();
  }

  feed(b, taken) {
    this.rates.feed(b.counters, taken('counters'));
  }

  draw(b) {
    const rate = (c) => this.rates.of(key(c)).value ?? 0;
    const lost = b.counters.filter((c) => c.loss && c.value > 0).sort((x, y) => rate(y) - rate(x) || y.value - x.value);
    this.drops.set(lost, this.rates);
    show(this.table, lost.length > 0);
    show(byId('drops-empty'), lost.length === 0);
    if (byId('counters').open) this.all.set(b.counters, this.rates);
  }
}

class Counter {
  /** group says whether the name has that of its group before it. */
  constructor(group) {
    this.group = group;
    Object.assign(this, row(columns));
    this.name = el('span');
    this.help = el('span', {class: 'note unless-medium'}); // where there is no room for the column
    this.cells[0].append(this.name, ' ', this.help);
  }

  update(c, rates) {
    const r = rates.of(key(c)).value;
    text(this.name, this.group ? `${c.group} ${c.name}` : c.name);
    text(this.help, c.help);
    [short(r), count(c.value), c.help].forEach((v, i) => text(this.cells[i + 1], v));
    this.node.classList.toggle('now', c.loss && r > 0);
  }
}
