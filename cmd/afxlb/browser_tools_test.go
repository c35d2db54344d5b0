//go:build tools

package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const pageURL = "http://127.0.0.1:9190/"

// browser is a tab of a headless Chromium in the balancer's namespace.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	troubles []string // what the console has of errors, CSP's among them
	asked    []string // for these URLs
}

// openPage opens the balancer's page in a browser, and waits until it is live.
func (p *process) openPage(path string) *browser {
	p.t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		p.t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin), chromedp.Flag("no-sandbox", true), // it refuses root else
		chromedp.Flag("disable-gpu", true), chromedp.UserDataDir(p.t.TempDir()), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.ModifyCmdFunc(func(c *exec.Cmd) {
			c.Args = append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", p.Process.Pid), c.Path}, c.Args[1:]...)
			c.Path, c.Err = "/usr/bin/nsenter", nil
		}))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	p.t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	p.t.Cleanup(end)
	ctx, patient := context.WithTimeout(ctx, 5*time.Minute)
	p.t.Cleanup(patient)
	b := &browser{t: p.t, ctx: ctx}
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	b.must(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{})
		return err
	}))
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == "error" || m.IsException() || m.Source == "security" {
				b.note(&b.troubles, m.String()+" "+m.URL)
			}
		}
	}()
	go func() {
		for r, err := range requests {
			if err != nil {
				return
			}
			b.note(&b.asked, r.Request.URL)
		}
	}()
	b.must(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(pageURL+path))
	b.until("is live", `document.getElementById('live').textContent === 'live'`)
	return b
}

func (b *browser) note(list *[]string, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, what)
}

// noted returns what was noted so far, and forgets it.
func (b *browser) noted(list *[]string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { *list = nil }()
	return *list
}

// noticed reports whether the console has told of something.
func (b *browser) noticed(what string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.troubles, func(m string) bool { return strings.Contains(m, what) })
}

func (b *browser) must(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value returns what an expression of the page's is.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until a condition holds on the page, by its mutations, and returns when it did.
// The page's policy lets nobody make code of text there; what DevTools evaluate is no part of it.
func (b *browser) until(what, condition string) time.Time {
	b.t.Helper()
	ms := value[float64](b, fmt.Sprintf(`new Promise((done) => {
		const holds = () => { if (%s) { done(Date.now()); seen.disconnect(); } };
		const seen = new MutationObserver(holds);
		seen.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
		setTimeout(() => done(0), %d);
		holds();
	})`, condition, patience.Milliseconds()))
	if ms == 0 {
		b.t.Fatalf("the page does not come to %s; it has:\n%s", what, value[string](b, `document.body.innerText`))
	}
	return time.UnixMilli(int64(ms))
}

// dark has the page be as its reader's system says.
func (b *browser) dark(on bool) {
	b.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[on]
	b.must(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// row is the text of the row of a table that begins with a name, its cells with | between.
func (b *browser) row(name string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf(`[...document.querySelectorAll('tr')].filter((r) => r.cells[0].innerText.trim().startsWith(%q))
		.map((r) => [...r.cells].map((c) => c.innerText.trim().replace(/\s+/g, ' ')).join('|')).join('\n')`, name))
}

// shoot takes a picture of what is to be seen.
func (b *browser) shoot() []byte {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// mustBeClean holds that the page had no error, and asked for nothing but what is its own.
func (b *browser) mustBeClean() {
	b.t.Helper()
	for _, m := range b.noted(&b.troubles) {
		b.t.Errorf("console: %s", m)
	}
	for _, u := range b.noted(&b.asked) {
		if !strings.HasPrefix(u, pageURL) {
			b.t.Errorf("it asked for %s", u)
		}
	}
}
