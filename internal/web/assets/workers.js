// Workers with their rings, and interfaces.

import {List, attribute, badge, byId, el, heads, row, text} from './dom.js';
import {count, short} from './format.js';
import {Rates} from './rates.js';

const workerColumns = [
  {title: 'Queue', class: 'name'},
  {title: 'CPU', class: 'number small'},
  {title: 'Received/s', class: 'number'},
  {title: 'Forwarded/s', class: 'number'},
  {title: 'Replied/s', class: 'number wide', hint: 'answered by the balancer itself'},
  {title: 'Punted/s', class: 'number wide', hint: 'given back to the kernel'},
  {title: 'Dropped/s', class: 'number medium'},
  {title: 'A batch', class: 'number medium', hint: 'packets that were received together, on average'},
  {title: 'Sleeps/s', class: 'number medium', hint: 'times that there was nothing to do'},
  {title: 'Frames', class: 'rings'},
];
const portColumns = [
  {title: 'Interface', class: 'name'},
  {title: 'State', class: 'state'},
  {title: 'XDP', class: 'small'},
  {title: 'Sockets', class: 'small'},
  {title: 'Queues', class: 'number small'},
  {title: 'Received/s', class: 'number'},
  {title: 'Sent/s', class: 'number'},
  {title: 'Copied/s', class: 'number medium', hint: 'sent from a copy, since the interface can’t share frames'},
];
const frames = ['free', 'filled', 'held', 'transmit'];

export class Workers {
  constructor() {
    this.ofWorkers = new Rates((w) => w.queue, (w) => ({
      received: w.received, forwarded: w.forwarded, replied: w.replied, punted: w.punted, dropped: w.dropped, batches: w.batches, sleeps: w.sleeps,
    }));
    this.ofPorts = new Rates((p) => p.name, (p) => ({received: p.received, sent: p.sent, copied: p.copied}));
    const [workers, ports] = [byId('workers').querySelector('table'), byId('interfaces').querySelector('table')];
    heads(workers, workerColumns);
    heads(ports, portColumns);
    this.workers = new List(workers.tBodies[0], (w) => w.queue, () => new Worker());
    this.ports = new List(ports.tBodies[0], (p) => p.name, () => new Port());
  }

  reset() {
    this.ofWorkers.reset();
    this.ofPorts.reset();
  }

  feed(b, taken) {
    if (!b.status) return;
    this.ofWorkers.feed(b.status.workers, taken('status'));
    this.ofPorts.feed(b.status.ports, taken('status'));
  }

  draw(b) {
    this.workers.set(b.status?.workers ?? [], this.ofWorkers);
    this.ports.set(b.status?.ports ?? [], this.ofPorts);
  }
}

class Worker {
  constructor() {
    Object.assign(this, row(workerColumns));
    this.parts = frames.map((name) => el('i', {class: name}));
    this.words = el('span', {class: 'note'});
    this.cells.at(-1).append(el('span', {class: 'ring', 'aria-hidden': 'true'}, ...this.parts), this.words);
  }

  update(w, rates) {
    const r = rates.of(w.queue);
    const batch = r.batches > 0 ? (r.received / r.batches).toFixed(1) : '–';
    const values = [w.queue, w.cpu < 0 ? 'any' : w.cpu, short(r.received), short(r.forwarded), short(r.replied), short(r.punted), short(r.dropped), batch, short(r.sleeps)];
    values.forEach((v, i) => text(this.cells[i], v));
    const f = w.frames;
    this.parts.forEach((part, i) => part.style.setProperty('flex-grow', f[frames[i]]));
    text(this.words, `${frames.map((name) => `${name} ${count(f[name])}`).join(', ')}, of ${count(f.total)}; ${w.bind}${w.detour ? ', sends by others' : ''}`);
  }
}

class Port {
  constructor() {
    Object.assign(this, row(portColumns));
    this.state = el('span', {class: 'badge'});
    this.reason = el('span', {class: 'note'});
    this.cells[1].append(this.state, ' ', this.reason);
  }

  update(p, rates) {
    const r = rates.of(p.name);
    badge(this.state, p.state);
    text(this.reason, p.reason);
    text(this.cells[0], p.name);
    [p.xdp_mode, p.bind, p.queues.length, short(r.received), short(r.sent), short(r.copied)].forEach((v, i) => text(this.cells[i + 2], v));
    attribute(this.cells[4], 'title', p.queues.join(', '));
  }
}
