// The one connection to the balancer: server-sent events of /v1/watch. When it breaks, or says
// nothing for too long, it is made anew, and whoever shows what came by it is told.

const silence = 5000; // ms; there is a tick each second
const pauses = [500, 1000, 2000, 4000]; // ms between attempts; the last one goes on
const names = ['message', 'services', 'backends', 'counters', 'event', 'gap', 'tick'];

export class Stream {
  /** on has a function for each message, by its name, and for up and down. */
  constructor(on) {
    Object.assign(this, {on, service: '', after: '', failures: 0, heard: 0, up: false});
    setInterval(() => this.source && Date.now() - this.heard > silence && this.fail(), 1000);
    addEventListener('online', () => this.open());
    addEventListener('pagehide', () => this.close());
    addEventListener('pageshow', (e) => e.persisted && this.open());
  }

  /** watch has the backends of a service come too, of none if it is empty, and tells whether that is another. */
  watch(service) {
    if (service === this.service) return false;
    this.service = service;
    this.open();
    return true;
  }

  open() {
    this.close();
    const query = new URLSearchParams({rate: 2, with: 'services,counters,events'});
    if (this.service) {
      query.set('with', 'services,backends,counters,events');
      query.set('service', this.service);
    }
    if (this.after) query.set('after', this.after);
    const source = new EventSource('v1/watch?' + query);
    this.source = source;
    this.heard = Date.now();
    for (const name of names) source.addEventListener(name, (m) => this.take(name, m));
    source.onerror = () => this.source === source && this.fail();
  }

  take(name, m) {
    this.heard = Date.now();
    if (m.lastEventId) this.after = m.lastEventId;
    this.on[name]?.(JSON.parse(m.data));
    if (name === 'tick' && !this.up) {
      Object.assign(this, {up: true, failures: 0});
      this.on.up();
    }
  }

  /** fail tries again by and by. Who asks for a service that is not there any more is refused, so it is let go. */
  fail() {
    this.close();
    if (!this.up) this.service = '';
    if (this.up || this.failures === 0) this.on.down(this.heard);
    this.up = false;
    const pause = pauses[Math.min(this.failures++, pauses.length - 1)];
    this.retry = setTimeout(() => this.open(), pause);
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }
}
