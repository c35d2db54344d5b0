//go:build tools

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// A large installation's page shows a part of it, finds the rest, and keeps up; what that costs is
// in the log.
func TestToolsLargePage(t *testing.T) {
	w := newWorld(t)
	var services []string
	for i := range 1000 {
		var backends []string
		for j := range 20 {
			backends = append(backends, fmt.Sprintf("{name: b%d, address: %v, port: %d}", j, lab.BackendAddr(j%3), 20000+20*i+j))
		}
		services = append(services, entry(fmt.Sprintf("s%d", i), natVIP4, 1000+i, "mode: nat, health: {type: none},", backends...))
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", services...))
	defer p.stop()
	p.await("serve", func(s api.Status) bool { return s.State == "serving" })
	b := p.openPage("#service/s7")
	b.until("a part of it", `document.querySelectorAll('.services tbody').length === 50 && document.querySelectorAll('.services tr.row').length === 20`)
	if more := value[string](b, `document.getElementById('more').textContent`); more != "Show more: 950 are left" {
		t.Errorf("%q", more)
	}
	value[any](b, `(() => { const f = document.querySelector('#filter'); f.value = 's999'; f.dispatchEvent(new Event('input')); })()`)
	b.until("one of the others", `document.querySelectorAll('.services tbody').length === 1 && document.querySelector('.services tbody').textContent.includes('s999')`)
	value[any](b, `document.querySelector('.services tbody button').click()`)
	b.until("its backends", `document.querySelectorAll('.services tr.row').length === 20`)
	times := value[string](b, `new Promise((done) => { const s = new EventSource('v1/watch?with=services,counters'), all = []; let last;
		s.addEventListener('services', (m) => last = performance.now());
		s.addEventListener('tick', (m) => { all.push(Date.now() - Date.parse(JSON.parse(m.data).taken.services)); if (all.length === 5) { s.close(); done(all.join(' ')); } }); })`)
	t.Logf("the list of services is there %s ms after its making began", times)
	busy, at := w.scrape()("process_cpu_seconds_total"), time.Now()
	value[any](b, `new Promise((done) => setTimeout(done, 5000))`)
	t.Logf("with the page open the balancer takes %.0f%% of a CPU", 100*(w.scrape()("process_cpu_seconds_total")-busy)/time.Since(at).Seconds())
	b.mustBeClean()
}
