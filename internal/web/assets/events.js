// Events, the latest first. Those that want a look are told to screen readers as they come.

import {List, badge, byId, el, heads, row, show, text} from './dom.js';
import {clock} from './format.js';

const kept = 1024;
const page = 25;
const columns = [
  {title: 'Time', class: 'time'},
  {title: 'Severity', class: 'state'},
  {title: 'What', class: 'meaning'},
  {title: 'Of', class: 'of medium'},
];
const words = {info: 'info', warn: 'warning', error: 'error'};

export class Events {
  constructor() {
    this.list = []; // the latest first
    this.limit = page;
    this.news = false; // what was before the page was opened is none
    const table = byId('events').querySelector('table');
    heads(table, columns);
    this.rows = new List(table.tBodies[0], (e) => e.key, () => new Row());
    byId('earlier').addEventListener('click', () => {
      this.limit += 4 * page;
      this.onchange();
    });
  }

  take(e) {
    const at = Date.parse(e.time);
    if (this.list[0] && e.seq <= this.list[0].seq && at <= Date.parse(this.list[0].time)) return; // told again
    e.key = e.time + e.seq;
    this.list.unshift(e);
    if (this.list.length > kept) this.list.pop();
    if (this.news && e.severity !== 'info') {
      text(byId('told'), `${words[e.severity]}: ${[where(e), e.text, e.reason].filter(Boolean).join(': ')}`);
    }
  }

  /** gap: the balancer does not have all any more; or it is another process, whose events come from the first on. */
  gap(g) {
    if (g.missed) this.list.unshift({key: 'gap' + Date.now(), seq: 0, time: new Date().toISOString(), severity: 'info', text: `${g.missed} events were missed`});
  }

  draw(now) {
    this.rows.set(this.list.slice(0, this.limit), now);
    show(byId('earlier'), this.list.length > this.limit);
  }
}

/** where says what an event is about, as people name it. */
function where(e) {
  return e.service ? e.service + (e.backend ? '/' + e.backend : '') : [e.address, e.interface].filter(Boolean).join(' ');
}

class Row {
  constructor() {
    Object.assign(this, row(columns));
    this.severity = el('span', {class: 'badge'});
    this.what = el('span');
    this.reason = el('span', {class: 'note'});
    this.of = el('span', {class: 'unless-medium'});
    this.cells[1].append(this.severity);
    this.cells[2].append(this.of, this.what, ' ', this.reason);
  }

  update(e, now) {
    text(this.cells[0], clock(e.time, now));
    badge(this.severity, words[e.severity] ?? e.severity, e.over ? 'over' : e.severity);
    const of = where(e);
    text(this.of, of && of + ' ');
    text(this.what, e.text);
    text(this.reason, e.reason);
    text(this.cells[3], of);
  }
}
