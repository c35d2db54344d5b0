// How numbers and times are written. A value that is not known is a dash.

const dash = '–';
const units = ['', 'k', 'M', 'G', 'T', 'P'];

/** count writes a whole number with its digits in groups. */
export function count(n) {
  return n == null ? dash : n.toLocaleString('en-US');
}

/** short writes a number in three digits and a unit: 842, 1.25k, 12.5M. */
export function short(n) {
  if (n == null) return dash;
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return digits(n, unit > 0) + units[unit];
}

function digits(n, scaled) {
  if (n >= 99.95 || Number.isInteger(n) && !scaled) return n.toFixed(0);
  if (n >= 9.995) return n.toFixed(1);
  return n < 0.05 && !scaled ? '0' : n.toFixed(scaled ? 2 : 1);
}

/** bits is a rate of bytes as one of bits. */
export function bits(bytesPerSecond) {
  return short(bytesPerSecond == null ? null : bytesPerSecond * 8);
}

const spans = [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]];

/** span writes a number of seconds in its two largest units: 3d 4h, 12m 5s. */
export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [name, size] of spans) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 || parts.length > 0 || size === 1) parts.push(n + name);
    if (parts.length === 2) break;
  }
  return parts.filter((p, i) => i === 0 || !p.startsWith('0')).join(' ');
}

/** since writes how long ago a moment was; the zero time of Go is no moment. */
export function since(time, now) {
  const at = Date.parse(time);
  return at > 0 ? span((now - at) / 1000) : '';
}

/** clock writes the time of day of a moment, and the day if it is another than that of now. */
export function clock(time, now) {
  const at = new Date(time);
  const day = at.toDateString() === new Date(now).toDateString() ? '' : at.toLocaleDateString('en-CA') + ' ';
  return day + at.toLocaleTimeString('en-GB');
}
