//go:build tools

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// shots are the pictures of docs: of what screens, and from where on the page.
var shots = []struct {
	name          string
	width, height int64
	scale         float64
	mobile, dark  bool
}{
	{"desktop", 1280, 1400, 1, false, false},
	{"dark", 1280, 1400, 1, false, true},
	{"phone", 390, 844, 2, true, false},
}

// TestScreenshots makes the pictures of the page in docs: make screenshots.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("AFXLB_SCREENSHOTS")
	if folder == "" {
		t.Fatal("AFXLB_SCREENSHOTS has to say where the pictures go")
	}
	w := newWorld(t)
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml",
		entry("web", natVIP4, port, "mode: nat, algorithm: least-conn, "+quickHealth,
			"{name: b0, address: 10.0.0.11, weight: 2}", "{name: b1, address: 10.0.0.12}", "{name: b2, address: 10.0.0.13, weight: 0}", "{name: b3, address: 10.0.0.13, port: 8081}"),
		service("web6", natVIP6, "nat", "tcp", "algorithm: maglev, "+quickHealth),
		service("static", dsrVIP4, "dsr", "tcp", "algorithm: source-hash, health: {type: none},"),
		service("static6", dsrVIP6, "dsr", "tcp", "algorithm: two-choices, health: {type: none},"),
		entry("old", natVIP4, 8090, "mode: nat, on-no-backend: drop, "+quickHealth, "{name: b0, address: 10.0.0.11, port: 8090}"),
	))
	defer p.stop()
	b := p.openPage("#service/web")
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	start := time.Now()
	for i, vip := range []struct {
		get    func()
		period float64
	}{
		{func() { _, _ = w.get(natVIP4) }, 31}, {func() { _, _ = w.get(natVIP6) }, 47}, {func() { _, _ = w.get(dsrVIP4) }, 67},
		{func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			c, err := w.lab.Clients[0].Dial(ctx, "tcp", "192.0.2.10:8090") // nobody answers
			if err == nil {
				c.Close()
			}
		}, 1e9},
	} {
		load.Go(func() {
			for ctx.Err() == nil {
				vip.get()
				wave := 1.2 + math.Sin(2*math.Pi*time.Since(start).Seconds()/vip.period)
				time.Sleep(time.Duration(float64(15*(i+1)) / wave * float64(time.Millisecond)))
			}
		})
	}
	time.Sleep(100 * time.Second)
	w.web[1].Kill()
	latest := func(what string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('#events tbody tr')].slice(0, 4).some((r) => r.textContent.includes('web/b1') && r.textContent.includes('backend is %s'))`, what)
	}
	b.until("one down", latest("down"))
	time.Sleep(5 * time.Second)
	if err := w.web[1].Start(); err != nil {
		t.Fatal(err)
	}
	b.until("it up again", latest("up"))
	time.Sleep(20 * time.Second) // charts have two minutes
	for _, s := range shots {
		options := []chromedp.EmulateViewportOption{chromedp.EmulateScale(s.scale)}
		if s.mobile {
			options = append(options, chromedp.EmulateMobile)
		}
		b.must(chromedp.EmulateViewport(s.width, s.height, options...))
		b.dark(s.dark)
		time.Sleep(2500 * time.Millisecond) // a tick has drawn all
		png := fewColours(t, b.shoot())
		if len(png) > 150_000 {
			t.Errorf("%s has %d bytes", s.name, len(png))
		}
		if err := os.WriteFile(filepath.Join(folder, s.name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	load.Wait()
}
