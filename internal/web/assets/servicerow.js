// A row of the table of services: of a service, or of a backend, in the same columns.

import {badge, el, text} from './dom.js';
import {bits, short} from './format.js';
import {Spark} from './spark.js';

/** columns: a title, classes, and what the table is sorted by; r are the rates of an item. */
export const columns = [
  {title: 'Service', class: 'name', by: (s) => s.name},
  {title: 'State', class: 'state', by: (s) => s.backends.up / Math.max(s.backends.total, 1)},
  {title: 'About', class: 'about wide', hint: 'a service’s mode and algorithm; a backend’s weight and last check'},
  {title: 'Live', class: 'number medium', hint: 'connections now', by: (s) => s.live},
  {title: 'Flows/s', class: 'number medium', hint: 'new flows a second', by: (s, r) => r.flows ?? 0},
  {title: 'Packets/s', class: 'number', hint: 'from clients, a second', by: (s, r) => r.in ?? 0},
  {title: 'In bit/s', class: 'number medium', hint: 'from clients', by: (s, r) => r.bytesIn ?? 0},
  {title: 'Out bit/s', class: 'number medium', hint: 'to clients, where replies come back through the balancer', by: (s, r) => r.bytesOut ?? 0},
  {title: '2 min', class: 'line small', hint: 'packets from clients, and to them, in the last two minutes'},
];

// Only what is on the screen is drawn.
const seen = new IntersectionObserver((entries) => {
  for (const e of entries) e.target.inSight = e.isIntersecting;
});

export class Row {
  /** scope is that of the heading, which has the node of the name. */
  constructor(scope, name) {
    this.address = el('span', {class: 'address'});
    this.state = el('span', {class: 'badge'});
    this.note = el('span', {class: 'note'});
    this.check = el('span', {class: 'note unless-wide'}); // where there is no room for the column
    this.about = el('span');
    this.numbers = columns.filter((c) => c.class.includes('number')).map((c) => el('td', {class: c.class}));
    this.spark = new Spark();
    this.node = el('tr', {class: scope},
      el('th', {scope, class: 'name'}, name, ' ', this.address),
      el('td', {class: 'state'}, this.state, ' ', this.note, this.check),
      el('td', {class: 'about wide'}, this.about),
      ...this.numbers,
      el('td', {class: 'line small'}, this.spark.node));
    seen.observe(this.node);
  }

  /** update shows an item x: its words, and the rates of its key. */
  update(x, words, rates, key) {
    text(this.address, words.address);
    badge(this.state, words.state, words.kind);
    text(this.note, words.note);
    text(this.about, words.about);
    text(this.check, words.check);
    const r = rates.of(key);
    const values = [short(x.live), short(r.flows), short(r.in), bits(r.bytesIn), bits(r.bytesOut)];
    this.numbers.forEach((cell, i) => text(cell, values[i]));
    if (this.node.inSight) this.spark.draw(rates.past(key));
  }

  destroy() {
    seen.unobserve(this.node);
    this.spark.destroy();
  }
}
