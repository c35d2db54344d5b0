//go:build tools

package main

import (
	"fmt"
	"strings"
	"testing"
)

// modules are expressions over the page's modules, and what they come to.
var modules = []struct{ module, expression, want string }{
	{"format", `[0, 0.04, 0.06, 1.25, 9.96, 10, 99.96, 842, 999.4, 999.5, 1250, 12500, 999499, 999500, 1e9, null, undefined].map(m.short)`,
		`0 0 0.1 1.3 10.0 10 100 842 999 1.00k 1.25k 12.5k 999k 1.00M 1.00G – –`},
	{"format", `[0, 125, 1250, null].map(m.bits)`, `0 1.00k 10.0k –`},
	{"format", `[0, 1234567, null].map(m.count)`, `0 1,234,567 –`},
	{"format", `[-5, 0, 59.9, 60, 61, 3600, 3605, 3660, 86400, 90061, 8640000].map(m.span).map((s) => s.replace(' ', '_'))`,
		`0s 0s 59s 1m 1m_1s 1h 1h 1h_1m 1d 1d_1h 100d`},
	{"format", `['0001-01-01T00:00:00Z', '2026-11-26T10:00:00Z', 'rubbish'].map((t) => '[' + m.since(t, Date.parse('2026-11-26T10:01:30Z')) + ']')`, `[] [1m 30s] []`},
	{"format", `[m.clock('2026-11-26T10:00:05', Date.parse('2026-11-26T12:00:00')), m.clock('2026-11-25T10:00:05', Date.parse('2026-11-26T12:00:00'))]`,
		`10:00:05 2026-11-25 10:00:05`},

	{"backend", `(() => { const said = [], base = {address: '10.0.0.1', port: '80', weight: 2, state: 'up', reason: '', check: 'ok', since: '', override: '', share: 100, backup: false, max_conns: 0, full: false};
		for (const change of [{}, {port: 'same'}, {address: '2001:db8::1'}, {override: 'drain, weight 5', state: 'drain'}, {override: 'drain', state: 'down', check: 'refused'}, {override: 'weight 5'},
			{share: 40, backup: true, reason: 'ramping 40%'}, {backup: true, reason: 'backup, not needed'}, {backup: true, state: 'down', check: 'refused'},
			{max_conns: 9, established: 9, full: true, reason: 'full'}, {state: 'unreachable', reason: 'no route'}]) {
			const w = m.words({...base, ...change}, 0); said.push('\n' + [w.address, w.state, w.kind, w.about, w.check].join('|')); }
		return said; })()`, `
10.0.0.1:80|up|up|weight 2, check: ok|
10.0.0.1|up|up|weight 2, check: ok|
[2001:db8::1]:80|up|up|weight 2, check: ok|
10.0.0.1:80|drain (override)|drain|weight 2, check: ok|
10.0.0.1:80|down (override: drain)|down|weight 2, check: refused|refused
10.0.0.1:80|up|up|weight 2 (override), check: ok|
10.0.0.1:80|up|up|weight 2, backup, ramping 40%, check: ok|ramping 40%
10.0.0.1:80|up|up|weight 2, backup, not needed, check: ok|backup, not needed
10.0.0.1:80|down|down|weight 2, backup, check: refused|refused
10.0.0.1:80|up|part|weight 2, full, 9 of 9 connections, check: ok|full
10.0.0.1:80|unreachable|unreachable|weight 2, no route, check: ok|no route`},

	{"backend", `[[3, 3, 3, ''], [2, 2, 3, ''], [0, 0, 3, ''], [0, 3, 3, 'panic'], [1, 1, 3, 'backup'], [1, 0, 3, 'down'], [3, 0, 3, ''], [0, 0, 0, '']]
		.map(([up, in_rotation, total, fallback]) => m.serviceState({backends: {up, total}, in_rotation, fallback}))
		.map((s) => s.state.replaceAll(' ', '_') + ':' + s.kind)`,
		`3_of_3_up:up 2_of_3_up:part 0_of_3_up:down 0_of_3_up_(panic):part 1_of_3_up_(backup):part 1_of_3_up_(down):down 3_of_3_up_(drained):down 0_of_0_up:down`},

	// A rate is the difference over the time; of what is new or began anew there is none, and of
	// what did not change it is 0. The same moment told twice counts once.
	{"rates", `(() => { const r = new m.Rates((x) => x.n, (x) => ({v: x.v}), ['v']);
		return [[0, 10], [1, 15], [1, 99], [3, 25], [4, 25], [5, 3], [6, 4]].map(([at, v]) => { r.feed([{n: 'a', v}], at); return r.of('a').v; }).concat(r.past('a')[0].length); })()`,
		`null 5 5 5 0 null 1 6`},
	{"rates", `(() => { const r = new m.Rates((x) => x.n, (x) => ({v: x.v}), ['v']);
		for (let at = 0; at < 1000; at++) r.feed([{n: 'a', v: at}], at);
		const past = r.past('a'); r.feed([], 1000); return [past[0].length, past[1].length, past[0][0], r.past('a')[0].length, r.of('a').v]; })()`,
		`126 126 874 0 undefined`},

	// A list keeps the nodes of its items, in the order of these, and the focus.
	{"dom", `(() => { const p = m.el('ul'), made = []; document.body.append(p);
		const l = new m.List(p, (x) => x, (x) => { made.push(x); return {node: m.el('li', {tabindex: 0}), update(v) { m.text(this.node, v); }}; }, (v) => made.push('-' + v.node.textContent));
		const out = []; const set = (s) => { l.set([...s]); out.push(p.textContent); };
		set('abc'); p.children[2].focus(); set('cab'); out.push(document.activeElement.textContent); set('db'); set(''); set('a'); p.remove(); return out.concat(made.join('')); })()`,
		`abc cab c db  a abc-a-cd-b-da`},
	{"dom", `(() => { const e = m.el('p', {title: '<b>', hidden: true, id: null, lang: false}, '<i>'); return [e.title, e.hidden, e.attributes.length, e.textContent, e.children.length]; })()`, `<b> true 2 <i> 0`},
}

func (b *browser) runModules(t *testing.T) {
	t.Helper()
	for _, c := range modules {
		got := value[string](b, fmt.Sprintf(`import('/assets/%s.js').then((m) => %s).then((l) => l.map(String).join(' '))`, c.module, c.expression))
		if strings.ReplaceAll(got, " \n", "\n") != c.want {
			t.Errorf("%s: %s\nis   %s\nwant %s", c.module, c.expression, got, c.want)
		}
	}
}
