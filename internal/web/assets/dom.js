// Small helpers over the DOM. Text is always set as text: nothing here makes HTML of it.

/** el makes an element with attributes and children, which are nodes or texts. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, '');
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** byId finds an element that the page has. */
export function byId(id) {
  return document.getElementById(id);
}

/** text sets a node's text if it is another: what does not change is not drawn anew. */
export function text(node, value) {
  value = String(value ?? '');
  if (node.textContent !== value) node.textContent = value;
}

/** attribute sets an attribute if it is another. */
export function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** show shows or hides a node. */
export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** badge writes a state: a word, and a colour and mark by it. */
export function badge(node, word, kind = word) {
  text(node, word);
  attribute(node, 'data-state', kind);
}

/**
 * List keeps the children of a parent in step with items: each item has a child of its own by
 * its key, made once, which keeps focus and what the browser knows of it.
 */
export class List {
  constructor(parent, key, make, drop = () => {}) {
    Object.assign(this, {parent, key, make, drop, have: new Map()});
  }

  /** set shows these items in this order. What make returned has a node, and an update. */
  set(items, ...context) {
    const focused = document.activeElement;
    const keys = new Set(items.map(this.key));
    for (const [key, view] of this.have) {
      if (keys.has(key)) continue;
      view.node.remove();
      this.have.delete(key);
      this.drop(view);
    }
    let place = this.first();
    for (const item of items) {
      const key = this.key(item);
      let view = this.have.get(key);
      if (!view) this.have.set(key, view = this.make(item, ...context));
      view.update(item, ...context);
      if (place === view.node) place = place.nextSibling;
      else this.parent.insertBefore(view.node, place);
    }
    if (focused !== document.activeElement && this.parent.contains(focused)) focused.focus({preventScroll: true}); // its row has moved
  }

  /** first is where the first item goes: what else the parent has, such as a heading, stays before it. */
  first() {
    let node = this.parent.firstChild;
    while (node && (node.nodeType !== 1 || node.matches('caption, thead, [data-fixed]'))) node = node.nextSibling;
    return node;
  }
}

/** heads fills a table's head. A column has a title, and classes for its cells. */
export function heads(table, columns) {
  const row = el('tr');
  for (const c of columns) row.append(el('th', {scope: 'col', class: c.class, title: c.hint}, c.title));
  table.tHead.append(row);
}

/** row makes a table's row: a cell for each column, the first a heading of the row. */
export function row(columns) {
  const cells = columns.map((c, i) => (i === 0 ? el('th', {scope: 'row', class: c.class}) : el('td', {class: c.class})));
  return {node: el('tr', {}, ...cells), cells};
}
