// A backend and a service in words, as afxlb backends and services have them.

import {since} from './format.js';

/** words of a backend at a moment: its state with a mark of the kind, and what is to be said besides. */
export function words(b, now) {
  const age = since(b.since, now);
  const [inState, ofWeight] = marks(b);
  return {
    address: b.port === 'same' ? b.address : `${b.address.includes(':') ? `[${b.address}]` : b.address}:${b.port}`,
    state: b.state + inState, kind: b.full && b.state === 'up' ? 'part' : b.state, note: age && `for ${age}`,
    about: [
      `weight ${b.weight}${ofWeight}`,
      b.backup && !b.reason.startsWith('backup') && 'backup',
      b.reason,
      b.max_conns > 0 && `${b.established} of ${b.max_conns} connections`,
      b.check && `check: ${b.check}`,
    ].filter(Boolean).join(', '),
    check: b.reason || (b.check === 'ok' ? '' : b.check),
  };
}

/** serviceState says how many of a service's backends are up, and what comes of a want of them; it is down when nobody takes new flows. */
export function serviceState({backends: {up, total}, in_rotation, fallback}) {
  const short = fallback || (in_rotation === 0 && up > 0 ? 'drained' : '');
  const kind = in_rotation === 0 ? 'down' : up < total || short ? 'part' : 'up';
  return {state: `${up} of ${total} up` + (short && ` (${short})`), kind};
}

/** marks are behind a state and a weight that operators have changed. */
function marks(b) {
  const [set] = (b.override ?? '').split(', ');
  if (set === '') return ['', ''];
  if (set.startsWith('weight ')) return ['', ' (override)'];
  return [set === b.state ? ' (override)' : ` (override: ${set})`, '']; // it may be down, or can't be reached, all the same
}
