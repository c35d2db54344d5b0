//go:build tools

package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
)

// What the balancer does is on the page, in a browser: what is up, what dies, and that it
// does not answer any more.
func TestToolsPage(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", quickHealth), service("direct", dsrVIP4, "dsr", "tcp", "health: {type: none},"))
	p := w.serve(config)
	b := p.openPage("")
	b.until("services", `document.querySelectorAll('.services tbody').length === 2`)
	b.until("the backends of the first", `document.querySelectorAll('.services tr.row').length === 3`)
	b.until("the marks of the states", `document.querySelector('#state').textContent === 'serving'`)
	if row := b.row("web"); !strings.HasPrefix(row, "web 192.0.2.10:8080 tcp|3 of 3 up|nat, round-robin|") {
		t.Errorf("the service's row: %s", row)
	}
	w.mustAnswer(20, natVIP4)
	b.until("flows", `document.querySelector('#glance .tile:nth-child(3) strong').textContent !== '0'`)
	b.until("workers", `document.querySelectorAll('#workers tbody tr').length === 2`)
	b.until("events", `document.querySelector('#events tbody').innerText.includes('serving the interface')`)

	t.Run("dies", func(t *testing.T) {
		before := uint64(len(p.awaitEvent("all", func(*api.Event) bool { return true })))
		w.web[0].Kill()
		at := b.until("the backend down", `[...document.querySelectorAll('.services tr.row')].some((r) => r.textContent.includes('b0') && r.querySelector('[data-state=down]'))`)
		var event api.Event
		for _, e := range p.awaitEvent("b0", ofBackend(events.BackendDown, "b0", before)) {
			if ofBackend(events.BackendDown, "b0", before)(&e) {
				event = e
			}
		}
		t.Logf("on the page %v after the balancer knew", at.Sub(event.Time))
		if late := at.Sub(event.Time); late > 2*time.Second {
			t.Errorf("it is on the page %v after the balancer knew", late)
		}
		b.until("its check", `document.querySelector('.services').textContent.includes('connection refused')`)
		b.until("the event", `document.querySelector('#events tbody tr').textContent.includes('web/b0')`)
		b.until("a word to who listens", `document.querySelector('#told').textContent.includes('web/b0')`)
		b.until("the sum", `document.querySelector('.services tr.rowgroup').textContent.includes('2 of 3 up')`)
	})
	t.Run("is changed", func(t *testing.T) {
		order := api.BackendOrder{Service: "web", Backend: "b1", Action: api.ActionDrain, Volatile: true}
		if _, err := p.api.Change(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		b.until("the backend drain", `document.querySelector('.services').textContent.includes('drain (override)')`)
	})
	t.Run("modules", b.runModules)
	t.Run("keyboard", func(t *testing.T) { walk(t, b) })
	t.Run("names", func(t *testing.T) {
		if bad := value[string](b, `[...document.querySelectorAll('button, a, input, summary, table, section')].filter((e) => {
			const by = e.getAttribute('aria-labelledby');
			const name = e.getAttribute('aria-label') || by && document.getElementById(by)?.textContent || e.caption?.textContent || e.labels?.[0]?.textContent || e.textContent;
			return !name.trim() }).map((e) => e.outerHTML.slice(0, 200)).join('\n')`); bad != "" {
			t.Errorf("without a name:\n%s", bad)
		}
	})
	t.Run("narrow", func(t *testing.T) {
		for _, width := range []int64{320, 390, 768, 1024} {
			b.must(chromedp.EmulateViewport(width, 800))
			b.until("draw", `true`)
			if wide := value[int64](b, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("on a screen of %d the page is %d wide: %s", width, wide, value[string](b, `[...document.querySelectorAll('body *')]
					.filter((e) => e.getBoundingClientRect().right > innerWidth && e.textContent).map((e) => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 30)).join('; ')`))
			}
		}
		b.must(chromedp.EmulateViewport(1280, 900))
		if wide := value[int64](b, `(() => { const name = document.querySelector('.services tbody button'), was = name.textContent;
			name.textContent = 'a-very-long-name-'.repeat(4);
			const wide = document.querySelector('.services td.about').clientWidth;
			name.textContent = was;
			return wide; })()`); wide < 150 {
			t.Errorf("a long name leaves %d for what a service is about", wide)
		}
		b.must(chromedp.EmulateViewport(1440, 900))
	})
	t.Run("no link", func(*testing.T) { // of ours
		value[any](b, `(() => { location.hash = '#service/%'; })()`)
		b.until("open none", `!document.querySelector('.services [aria-expanded=true]')`)
		value[any](b, `(() => { location.hash = '#service/web'; })()`)
		b.until("open one again", `document.querySelectorAll('.services tr.row').length === 3`)
	})
	b.mustBeClean()
	t.Run("strict", func(t *testing.T) { // and its troubles are seen
		value[any](b, `(() => { const s = document.createElement('style'); s.textContent = 'body { color: red }'; document.body.append(s); })()`)
		p.await("tell of a style", func(api.Status) bool {
			return b.noticed("Content Security Policy")
		})
		b.noted(&b.troubles)
	})
	t.Run("silent", func(t *testing.T) { // the connection is there, and nothing comes by it
		if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		b.until("be stale", `document.getElementById('live').textContent === 'stale'`)
		if err := p.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		b.until("be live after a silence", `document.getElementById('live').textContent === 'live'`)
	})
	t.Run("stale", func(t *testing.T) {
		p.stop()
		b.until("be stale", `document.body.classList.contains('stale') && !document.getElementById('stale').hidden`)
		if said := value[string](b, `document.getElementById('stale').textContent + document.getElementById('live').textContent`); !strings.Contains(said, "127.0.0.1:9190 does not answer; trying again. What is shown is as of ") || !strings.HasSuffix(said, "stale") {
			t.Errorf("%q", said)
		}
		if err := w.web[0].Start(); err != nil {
			t.Fatal(err)
		}
		p = w.serve(config)
		b.until("be live again", `!document.body.classList.contains('stale') && document.getElementById('stale').hidden && document.getElementById('live').textContent === 'live'`)
		b.until("all up", `document.querySelector('.services tr.rowgroup').textContent.includes('3 of 3 up')`)
		b.until("the open one again", `document.querySelectorAll('.services tr.row').length === 3`)
	})
	t.Run("gone", func(t *testing.T) { // the service that is open
		w.writeConfig("afxlb.yaml", service("direct", dsrVIP4, "dsr", "tcp", "health: {type: none},"))
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		b.until("have one service", `document.querySelectorAll('.services tbody').length === 1 && document.querySelectorAll('.services tr.row').length === 0`)
	})
	p.stop()
}

// walk goes over the page by keyboard alone: each stop is to be seen, and does what it should.
func walk(t *testing.T, b *browser) {
	t.Helper()
	value[any](b, `document.activeElement.blur(), scrollTo(0, 0)`)
	var stops []string
	for range 60 {
		b.must(chromedp.KeyEvent(kb.Tab))
		at := value[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
			return e === document.body ? '' : (s.outlineStyle === 'none' || r.width === 0 ? 'unseen ' : '') + (e.id || e.textContent.trim()); })()`)
		if at == "" {
			break
		}
		stops = append(stops, at)
	}
	have := strings.Join(stops, "|") + "|"
	if !strings.HasPrefix(have, "Skip to the services|Services|Drops|") {
		t.Errorf("the first stops: %s", have)
	}
	for _, want := range []string{"filter|", "Flows/s|", "web|", "direct|", "All counters|"} {
		if !strings.Contains(have, want) {
			t.Errorf("no stop at %s in %s", want, have)
		}
	}
	if strings.Contains(have, "unseen ") {
		t.Errorf("a stop that is not to be seen: %s", have)
	}
	press := func(selector, keys string) {
		t.Helper()
		value[any](b, `document.querySelector('`+selector+`').focus()`)
		b.must(chromedp.KeyEvent(keys))
	}
	press(`.services tbody:last-child button`, kb.Enter)
	b.until("open the other one", `document.querySelector('.services tbody:last-child button').getAttribute('aria-expanded') === 'true' && document.querySelectorAll('.services tbody:last-child tr.row').length === 3`)
	press(`.services tbody button`, " ")
	b.until("open the first again", `document.querySelectorAll('.services tbody:nth-of-type(1) tr.row').length === 3`)
	press(`.services thead th:first-child button`, kb.Enter)
	b.until("sort by name", `document.querySelector('[aria-sort=ascending]') && document.querySelector('.services tbody button').textContent === 'direct'`)
	press(`.services thead th:first-child button`, kb.Enter+kb.Enter)
	b.until("be as in the config", `!document.querySelector('[aria-sort]') && document.querySelector('.services tbody button').textContent === 'web'`)
	press(`#filter`, "dsr")
	b.until("have those with dsr", `document.querySelectorAll('.services tbody').length === 1 && document.querySelector('#services-note').textContent === '1 of 2'`)
	value[any](b, `(() => { const f = document.querySelector('#filter'); f.value = ''; f.dispatchEvent(new Event('input')); })()`)
	b.until("have all", `document.querySelectorAll('.services tbody').length === 2`)
	press(`#counters summary`, kb.Enter)
	b.until("have all counters", `document.querySelectorAll('#counters tbody tr').length > 30`)
}
