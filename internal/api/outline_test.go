package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/events"
)

// refused is a balancer that has refused a config with a secret in it.
type refused struct{ *telling }

func (refused) Status() Status {
	return Status{
		Reload: "f:1: x: hunter2", ReloadOutline: "f:1: x is wrong",
		Warnings: []Warning{{Code: "reload", Text: "refused: hunter2", Outline: "refused: f:1: x"}, {Code: "other", Text: "for all"}},
	}
}

// Whoever comes gets no words of the config file, by whatever way; the control socket has them.
func TestOutlines(t *testing.T) {
	src := refused{newTelling(1)}
	src.events.Record(Event{Kind: events.ReloadRefused, Severity: events.Error, Reason: "f:1: x: hunter2", Outline: "f:1: x is wrong"})
	for _, outlined := range []bool{true, false} {
		for _, q := range []struct{ path, accept string }{
			{"/v1/status", "application/json"}, {"/v1/events", "application/json"}, {"/v1/events", streamType}, {"/v1/watch?with=events", streamType}, {"/v1/watch", streamType},
		} {
			s := newStreams(maxConns)
			close(s.end) // streams have what there is
			h := newHandler(src, nil, s)
			h.outlined = outlined
			r := httptest.NewRequest(http.MethodGet, q.path, nil)
			r.Header.Set("Accept", q.accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != http.StatusOK || strings.Contains(body, "hunter2") == outlined || strings.Contains(body, "x is wrong") != outlined {
				t.Errorf("%s as %s, outlined %v: %d\n%s", q.path, q.accept, outlined, w.Code, body)
			}
			if strings.Contains(body, "warnings") && !strings.Contains(body, "for all") {
				t.Errorf("%s: what is for all is missing: %s", q.path, body)
			}
		}
	}
}
