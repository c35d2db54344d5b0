// A backend in words, as afxlb backends has it.

import {since} from './format.js';

/** words of a backend at a moment: its state with a mark of the kind, and what is to be said besides. */
export function words(b, now) {
  const age = since(b.since, now);
  const check = b.reason || b.check;
  const [inState, ofWeight] = marks(b);
  return {
    address: b.port === 'same' ? b.address : `${b.address.includes(':') ? `[${b.address}]` : b.address}:${b.port}`,
    state: b.state + (b.full ? ', full' : '') + inState, kind: b.full && b.state === 'up' ? 'part' : b.state, note: age && `for ${age}`,
    about: [
      `weight ${b.weight}${ofWeight}`,
      b.backup && 'backup',
      b.state === 'up' && b.share > 0 && b.share < 100 && `gets ${b.share}% of its share`,
      b.max_conns > 0 && `${b.established} of ${b.max_conns} connections`,
      check && `check: ${check}`,
    ].filter(Boolean).join(', '),
    check: check === 'ok' ? '' : check,
  };
}

/** marks are behind a state and a weight that operators have changed. */
function marks(b) {
  const [set] = (b.override ?? '').split(', ');
  if (set === '') return ['', ''];
  if (set.startsWith('weight ')) return ['', ' (override)'];
  return [set === b.state ? ' (override)' : ` (override: ${set})`, '']; // it may be down, or can't be reached, all the same
}
