// The page: what the stream tells goes to the parts that show it. Numbers are drawn once a
// second, at the tick, and not while nobody looks.

import {byId, show, text, badge} from './dom.js';
import {clock, span} from './format.js';
import {Counters} from './counters.js';
import {Events} from './events.js';
import {Glance} from './glance.js';
import {Services} from './services.js';
import {Stream} from './stream.js';
import {Workers} from './workers.js';

const balancer = {status: null, services: [], backends: [], counters: [], now: Date.now()};

const events = new Events();
const counters = new Counters();
const glance = new Glance();
const workers = new Workers();
const services = new Services((name) => {
  if (stream.watch(name)) balancer.backends = [];
});
const parts = [glance, services, counters, workers];

const stream = new Stream({
  message(status) {
    if (status.started !== balancer.status?.started) {
      for (const p of parts) p.reset();
    }
    balancer.status = status;
  },
  services: (list) => balancer.services = list,
  backends: (list) => balancer.backends = list,
  counters: (list) => balancer.counters = list,
  event: (e) => events.take(e),
  gap: (g) => events.gap(g),
  tick(tick) {
    balancer.now = Date.parse(tick.time);
    for (const p of parts) p.feed(balancer, (name) => Date.parse(tick.taken[name] ?? tick.time) / 1000);
    services.keep(balancer.services);
    draw();
  },
  up() {
    events.news = true;
    badge(byId('live'), 'live');
    document.body.classList.remove('stale');
    show(byId('stale'), false);
    if (stale) text(byId('told'), 'The balancer answers again.');
    stale = 0;
  },
  down(heard) {
    stale = heard;
    badge(byId('live'), 'stale');
    document.body.classList.add('stale');
    text(byId('told'), 'The balancer does not answer. What is shown is old.');
    age();
  },
});

let stale = 0; // when there were news last, while there are none; else 0
setInterval(() => stale && age(), 1000);

/** age says how old what is shown is. */
function age() {
  const what = balancer.status ? `What is shown is as of ${clock(stale, Date.now())}, ${span((Date.now() - stale) / 1000)} ago.` : '';
  text(byId('stale'), `The balancer at ${location.host} does not answer; trying again. ${what}`);
  show(byId('stale'), true);
}

let due = false;

/** draw shows what there is, before the next frame; a page that is hidden has none. */
function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const p of parts) p.draw(balancer);
    events.draw(balancer.now);
  });
}

for (const p of [services, events, counters]) p.onchange = draw;
addEventListener('resize', draw);
stream.service = services.opened;
stream.open();
