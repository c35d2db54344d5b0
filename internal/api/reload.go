package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Reload is what a reload has changed, or would change. What has not changed is not in it.
type Reload struct {
	Generation   uint64          `json:"generation" doc:"of the balancing table that has it all; of a dry run, of the one in force"`
	DryRun       bool            `json:"dry_run" doc:"nothing was changed"`
	NeedsRestart []string        `json:"needs_restart" doc:"config keys that changed and could not be applied"`
	Settings     []SettingChange `json:"settings" doc:"what has changed but for services, and what has since the start and is not in force yet"`
	Services     []ServiceChange `json:"services" doc:"those that are new or have changed, and then those that are gone"`
	Overrides    []OverrideFate  `json:"overrides" doc:"what operators have changed of backends at run time"`
}

// Empty reports whether nothing has changed.
func (r *Reload) Empty() bool { return len(r.Settings) == 0 && len(r.Services) == 0 }

// SettingChange is a config key with another value.
type SettingChange struct {
	Key          string `json:"key" doc:"as in conntrack.timeouts.icmp; of a service or a backend, below it"`
	Old          string `json:"old" doc:"empty: nothing"`
	New          string `json:"new" doc:"empty: nothing"`
	NeedsRestart bool   `json:"needs_restart"`
}

// OverrideFate is what becomes of an operator's change of a backend.
type OverrideFate struct {
	Service  string `json:"service"`
	Backend  string `json:"backend"`
	Override string `json:"override" doc:"as in drain, or weight 5"`
	Kept     bool   `json:"kept" doc:"it takes the place of what the file says"`
	Reason   string `json:"reason" doc:"why it is not kept"`
}

// What a [ServiceChange] and a [BackendChange] are of.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// ServiceChange is a service that is new, gone or another one.
type ServiceChange struct {
	Service      string          `json:"service" doc:"its name, the new one if that has changed"`
	Address      string          `json:"address" doc:"with port and protocol: what it is, whatever its name"`
	Change       string          `json:"change" enum:"added,removed,changed"`
	Settings     []SettingChange `json:"settings"`
	Backends     []BackendChange `json:"backends" doc:"those of a changed service that are new, gone or have changed"`
	Connections  int64           `json:"connections" doc:"that its backends have now"`
	Then         string          `json:"then" doc:"what becomes of them; empty: they stay as they are"`
	Slots        int             `json:"slots" doc:"of the consistent hash; 0: the algorithm has none, or had none before"`
	SlotsMoved   int             `json:"slots_moved" doc:"that get another backend, once those that are new are up"`
	MovedPercent float64         `json:"moved_percent"`
}

// BackendChange is a backend that is new, gone or has changed.
type BackendChange struct {
	Backend     string          `json:"backend" doc:"its name, the new one if that has changed"`
	Address     string          `json:"address"`
	Change      string          `json:"change" enum:"added,removed,changed"`
	Settings    []SettingChange `json:"settings"`
	Connections int64           `json:"connections" doc:"that it has now"`
	Then        string          `json:"then" doc:"what becomes of them; empty: they stay as they are"`
}

// ConfigText is a config that is not the balancer's own file.
type ConfigText struct {
	Name string // stands for the file in messages
	Text []byte
}

// maxConfig is how long one may be, in bytes: as a file may.
const maxConfig = 16 << 20

// reloads adds the endpoints of reloads.
func (h *handler) reloads() {
	action(h, "/v1/reload", "Read the config again and put it into force",
		"It answers with what that has changed when the config is in force or refused, however long that takes. A config that is wrong changes nothing, "+
			"and is a problem of the type "+ProblemConfig+"; what the machine has no room for is one of the type "+ProblemMachine+".",
		func(ctx context.Context, in *struct {
			DryRun bool `query:"dry-run" doc:"only say what it would change"`
		}) (Reload, error) {
			if in.DryRun {
				return whole(h.source.Preview(ctx, nil))
			}
			return whole(h.source.Reload(ctx))
		})
	op := operation[Reload](h, http.MethodPost, "/v1/plan", "Say what a reload would change if this were the config")
	op.Description = "The body is a config file. Nothing is changed. One is planned at a time."
	op.MaxBodyBytes = maxConfig + 1
	op.Middlewares = huma.Middlewares{h.oneAtATime()}
	register(h, op, func(ctx context.Context, in *struct {
		Name    string `query:"name" default:"config" doc:"stands for the file in messages"`
		RawBody []byte `contentType:"application/yaml"`
	}) (Reload, error) {
		return whole(h.source.Preview(ctx, &ConfigText{in.Name, in.RawBody}))
	}, answer[Reload])
}

// oneAtATime has requests wait for each other before their bodies are read, so that many
// large ones take no more memory than one.
func (h *handler) oneAtATime() func(huma.Context, func(huma.Context)) {
	turn := make(chan struct{}, 1)
	return func(c huma.Context, next func(huma.Context)) {
		_, w := humago.Unwrap(c)
		hopeless := time.NewTimer(turnTimeout)
		defer hopeless.Stop()
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
			next(c)
		case <-hopeless.C: // those who wait keep others from being answered
			w.Header().Set("Connection", "close")
			refuse(w, newProblem(http.StatusServiceUnavailable, "another client's config is being planned; ask again later"))
		}
	}
}

// whole has lists for all that has none.
func whole(r Reload, err error) (Reload, error) {
	r.NeedsRestart, r.Settings, r.Services, r.Overrides = orEmpty(r.NeedsRestart), orEmpty(r.Settings), orEmpty(r.Services), orEmpty(r.Overrides)
	for i := range r.Services {
		s := &r.Services[i]
		s.Settings, s.Backends = orEmpty(s.Settings), orEmpty(s.Backends)
		for j := range s.Backends {
			s.Backends[j].Settings = orEmpty(s.Backends[j].Settings)
		}
	}
	return r, err
}

// Reload has the balancer read its config again, and returns what that has changed when it
// is in force. If the config is wrong the error is a ConfigError, if the machine can't do it
// a MachineError, and nothing was changed.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	return ask[Reload](ctx, c, http.MethodPost, "/v1/reload", nil, reloadTime)
}

// Preview asks what a reload would change, of the balancer's own file, or as if text were
// that. Errors are as of Reload.
func (c *Client) Preview(ctx context.Context, text *ConfigText) (Reload, error) {
	if text == nil {
		return ask[Reload](ctx, c, http.MethodPost, "/v1/reload", url.Values{"dry-run": {"true"}}, reloadTime)
	}
	return send[Reload](ctx, c, "/v1/plan", url.Values{"name": {text.Name}}, &content{"application/yaml", text.Text}, reloadTime)
}
