package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// policy is what the page may do: run its own scripts, use its own styles, and ask its own
// balancer. There is no inline script or style, and no HTML is made of text. No other page may
// have this one in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard has every answer say that it is for its own page alone, and refuses what another
// site's page asks for by its reader's browser. It could not read the answer, as there are no
// CORS headers, but it could keep places that others need.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if byOthers(r) {
			http.Error(w, "another site's page asks for this", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// byOthers reports whether a browser asks for another site's page: by Fetch Metadata
// (https://www.w3.org/TR/fetch-metadata/), which it sends to addresses that it trusts, such as
// those of loopback, or by the origin, if that is no secret. Who follows a link asks for himself.
func byOthers(r *http.Request) bool {
	if o := r.Header.Get("Origin"); o != "" {
		if u, err := url.Parse(o); err != nil || u.Host != r.Host {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// own refuses what is asked for by a name that is none of this machine's. A site may have its
// name resolve to this address, and its page is of the same origin then (DNS rebinding). That
// takes a name: by an address nobody comes here but who means it.
//
// Scrapers come by whatever names an installation has. So metrics are kept from browsers alone:
// see [fromOwn].
func own(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOwn(r.Host) {
			http.Error(w, "this is no name of the balancer's machine: come by an address, as localhost or by the machine's host name, "+
				"or have a proxy in front ask by one of these", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromOwn is [own] for browsers alone.
func fromOwn(next http.Handler) http.Handler {
	guarded := own(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isBrowser(r) {
			guarded.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isBrowser reports whether a request has what each browser sends and no scraper does. A page can
// change the languages, but not have them left out (Fetch Standard, 4.1), and nothing of Sec-.
func isBrowser(r *http.Request) bool {
	for _, name := range []string{"Accept-Language", "Sec-Fetch-Mode", "Sec-Fetch-Site"} {
		if _, ok := r.Header[name]; ok {
			return true
		}
	}
	return strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// isOwn reports whether a Host header has an address, localhost, or the name that the machine
// has for itself.
func isOwn(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	name, err := os.Hostname()
	return strings.EqualFold(host, "localhost") || err == nil && strings.EqualFold(host, name)
}
