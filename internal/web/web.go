package web

import (
	"context"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
)

// Options say what is served.
type Options struct {
	Source  api.Source
	Metrics http.Handler
	Log     *zap.Logger
	Clients int // connections at a time; others wait. A quarter of them may have streams
}

// reads are the endpoints of the API that everybody may have. It is no accident if one that
// comes to the API is not here: whoever reaches this address reads it.
var reads = []string{"/v1/status", "/v1/services", "/v1/backends", "/v1/counters", "/v1/events", "/v1/watch", "/v1/openapi.json"}

// scrapeTime is how long a scrape may take to be read. The server's own bound is for what
// renews it.
const scrapeTime = time.Minute

// Serve answers on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	return api.ServeReads(ctx, l, o.Source, o.Log, o.Clients, func(reads http.Handler) http.Handler {
		return newHandler(reads, o.Metrics)
	})
}

func newHandler(served, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", fromOwn(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Only a test's recorder has no deadlines.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeTime))
		metrics.ServeHTTP(w, r)
	})))
	for _, path := range reads {
		mux.Handle(path, own(served)) // which has a problem document for other methods
	}
	mux.Handle("/v1/", own(http.HandlerFunc(api.NotHere)))
	for path, a := range assets {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle("GET "+path, own(a))
	}
	return guard(mux)
}
