// Sparklines, drawn by uPlot. They repeat what a number beside them says, so screen readers
// pass them over.

import {el} from './dom.js';
import {seconds} from './rates.js';

const style = getComputedStyle(document.documentElement);
const colour = (name) => () => style.getPropertyValue(name).trim();
const drawn = new Set();

/** Spark is a line of rates over the last two minutes. */
export class Spark {
  constructor(series = ['--line-1', '--line-2']) {
    this.series = series;
    this.node = el('div', {class: 'spark', 'aria-hidden': 'true'});
  }

  /** draw shows times and rates, as Rates.past has them. */
  draw(data) {
    const width = this.node.clientWidth;
    if (width === 0) return; // not in the page, or hidden on a small screen
    const height = this.node.clientHeight;
    this.end = data[0].at(-1) ?? 0;
    if (!this.plot) {
      this.plot = new uPlot(this.options(width, height), data, this.node);
      drawn.add(this);
      return;
    }
    if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({width, height});
    this.plot.setData(data);
  }

  options(width, height) {
    return {
      width, height, padding: [2, 0, 1, 0], legend: {show: false}, cursor: {show: false}, select: {show: false},
      axes: [{show: false}, {show: false}],
      scales: {
        x: {time: false, range: () => [this.end - seconds, this.end]},
        y: {range: (u, min, max) => [0, max > 0 ? max : 1]},
      },
      series: [{}, ...this.series.map((name) => ({
        stroke: colour(name), fill: colour(name + '-area'), width: 1.25, points: {show: false},
      }))],
    };
  }

  destroy() {
    drawn.delete(this);
    this.plot?.destroy();
    this.plot = null;
  }
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const s of drawn) s.plot.redraw(false);
});
