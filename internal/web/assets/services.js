// The table of services. One of them is open, and has its backends below it in the same
// columns.

import {serviceState, words} from './backend.js';
import {List, attribute, byId, el, show, text} from './dom.js';
import {count} from './format.js';
import {Rates} from './rates.js';
import {Row, columns} from './servicerow.js';

const page = 50; // services at first, and more by each press of the button
const hash = '#service/';

/** named is the service that the address names; empty: none, or what no link of ours has. */
function named() {
  try {
    return location.hash.startsWith(hash) ? decodeURIComponent(location.hash.slice(hash.length)) : '';
  } catch {
    return '';
  }
}

const counted = (x) => ({flows: x.flows, in: x.packets_in, out: x.packets_out, bytesIn: x.bytes_in, bytesOut: x.bytes_out});

export class Services {
  /** open is called with the name of the service that is opened; empty: none is. */
  constructor(open) {
    this.open = open;
    this.opened = named();
    this.chosen = this.opened !== ''; // by the reader: else the page opens one
    this.limit = page;
    this.sort = {column: null, down: false};
    this.ofServices = new Rates((s) => s.name, counted, ['in', 'out']);
    this.ofBackends = new Rates((b) => b.service + '/' + b.name, counted, ['in', 'out']);
    const table = byId('services').querySelector('table');
    this.head(table.tHead);
    this.groups = new List(table, (s) => s.name, () => new Group((name) => this.toggle(name)), (g) => g.destroy());
    addEventListener('hashchange', () => location.hash.startsWith(hash) && this.choose(named()));
    byId('filter').addEventListener('input', () => this.onchange());
    byId('more').addEventListener('click', () => {
      this.limit += page;
      this.onchange();
    });
  }

  head(thead) {
    const row = el('tr');
    for (const c of columns) {
      const button = el('button', {type: 'button'}, c.title);
      const th = el('th', {scope: 'col', class: c.class, title: c.hint}, c.by ? button : c.title);
      button.addEventListener('click', () => this.sortBy(c, row, th));
      row.append(th);
    }
    thead.append(row);
  }

  /** sortBy sorts by a column: numbers with the largest first, then the other way, then as in the config. */
  sortBy(column, row, th) {
    const s = this.sort;
    if (s.column !== column) this.sort = {column, down: column.class.includes('number')};
    else if (s.down === column.class.includes('number')) this.sort = {column, down: !s.down};
    else this.sort = {column: null};
    for (const h of row.children) h.removeAttribute('aria-sort');
    if (this.sort.column) th.setAttribute('aria-sort', this.sort.down ? 'descending' : 'ascending');
    this.onchange();
  }

  toggle(name) {
    this.chosen = true;
    this.choose(this.opened === name ? '' : name);
    this.onchange();
  }

  choose(name) {
    this.opened = name;
    history.replaceState(null, '', name ? hash + encodeURIComponent(name) : location.pathname);
    this.open(name);
  }

  /** keep sees to it that the service that is open is one that there is. */
  keep(list) {
    if (this.opened && list.some((s) => s.name === this.opened)) this.open(this.opened);
    else if (this.opened) this.choose('');
    else if (!this.chosen && list.length > 0) {
      this.chosen = true;
      this.choose((list.find((s) => serviceState(s).kind !== 'up') ?? list[0]).name);
    }
  }

  reset() {
    this.ofServices.reset();
    this.ofBackends.reset();
  }

  feed(b, taken) {
    this.ofServices.feed(b.services, taken('services'));
    this.ofBackends.feed(b.backends, taken('backends'));
  }

  draw(b) {
    const wanted = byId('filter').value.toLowerCase().split(/\s+/);
    const has = (s) => `${s.name} ${s.address} ${s.port} ${s.protocol} ${s.mode} ${s.algorithm}`.toLowerCase();
    let list = b.services.filter((s) => wanted.every((w) => has(s).includes(w)));
    const {column, down} = this.sort;
    if (column) {
      const of = (s) => column.by(s, this.ofServices.of(s.name));
      list = list.map((s) => [of(s), s]).sort(([x], [y]) => (down ? -1 : 1) * (x < y ? -1 : x > y ? 1 : 0)).map(([, s]) => s);
    }
    const shown = list.slice(0, this.limit);
    const context = {now: b.now, services: this.ofServices, rates: this.ofBackends, opened: this.opened, backends: b.backends};
    this.groups.set(shown, context);
    text(byId('services-note'), list.length === b.services.length ? '' : `${count(list.length)} of ${count(b.services.length)}`);
    text(byId('services-empty'), b.services.length ? 'No service has that.' : 'There are no services.');
    show(byId('services-empty'), list.length === 0);
    text(byId('more'), `Show more: ${count(list.length - shown.length)} are left`);
    show(byId('more'), shown.length < list.length);
  }
}

/** Group is a service's body of the table: its row, and those of its backends while it is open. */
class Group {
  constructor(toggle) {
    this.button = el('button', {type: 'button', 'aria-expanded': 'false'});
    this.button.addEventListener('click', () => toggle(this.name));
    this.row = new Row('rowgroup', this.button);
    this.row.node.dataset.fixed = '';
    this.node = el('tbody', {}, this.row.node);
    this.backends = new List(this.node, (b) => b.name, () => new Backend(), (b) => b.row.destroy());
  }

  update(s, c) {
    this.name = s.name;
    const open = s.name === c.opened;
    text(this.button, s.name);
    attribute(this.button, 'aria-expanded', String(open));
    this.row.update(s, {
      address: `${s.address}:${s.port} ${s.protocol}`.replace(/^([0-9a-f]*:[0-9a-f:.]*):([^: ]+) /, '[$1]:$2 '),
      ...serviceState(s), note: '', about: `${s.mode}, ${s.algorithm}`,
    }, c.services, s.name);
    this.backends.set(open ? c.backends.filter((b) => b.service === s.name) : [], c);
  }

  destroy() {
    this.backends.set([]);
    this.row.destroy();
  }
}

class Backend {
  constructor() {
    this.name = el('span', {class: 'backend'});
    this.row = new Row('row', this.name);
    this.node = this.row.node;
  }

  update(b, c) {
    text(this.name, b.name);
    this.row.update(b, words(b, c.now), c.rates, b.service + '/' + b.name);
  }
}
