package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// The actions of a [BackendOrder].
const (
	ActionDrain   = "drain"
	ActionDisable = "disable"
	ActionEnable  = "enable"
	ActionWeight  = "weight"
)

// BackendOrder is what an operator wants of a backend at run time:
//
//	drain    no new flows; those that it has go on
//	disable  as if it were not there: it is not asked how it is, and its flows go by on-down
//	enable   an end to drain and disable
//	weight   another weight, or without one the file's again
type BackendOrder struct {
	_        struct{} `additionalProperties:"false"`
	Service  string   `json:"service" doc:"its name" example:"web"`
	Backend  string   `json:"backend" doc:"its name, its address:port, or its address if no other one of the service has that" example:"a"`
	Action   string   `json:"action" enum:"drain,disable,enable,weight" doc:"drain: no new flows; disable: as if it were not there; enable: an end to both; weight: another one"`
	Weight   *int     `json:"weight,omitempty" minimum:"0" maximum:"65535" doc:"for the action weight; left out: the file's again"`
	Volatile bool     `json:"volatile,omitempty" doc:"it is not kept over a restart"`
}

// BackendChanged is what came of a BackendOrder, which is in force.
type BackendChanged struct {
	Generation uint64         `json:"generation" doc:"of the balancing table that has it"`
	Service    string         `json:"service" doc:"its name"`
	Backend    string         `json:"backend" doc:"its name"`
	Address    string         `json:"address" doc:"the backend's, with the port unless that is the client's"`
	Old        BackendSetting `json:"old"`
	New        BackendSetting `json:"new"`
	Slots      int            `json:"slots" doc:"of the service's consistent hash; 0: its algorithm does not go by one"`
	Moved      int            `json:"moved_slots" doc:"of these, how many lead to another backend now"`
	Kept       bool           `json:"kept" doc:"it is kept over a restart"`
	Warnings   []string       `json:"warnings" doc:"what may not have been expected"`
}

// BackendSetting is how a backend takes part at a moment.
type BackendSetting struct {
	State    string `json:"state"`
	Weight   int    `json:"weight" doc:"the effective one"`
	Override string `json:"override" doc:"what operators have changed, as in drain, weight 5; empty: nothing"`
}

// Override is one backend that operators have changed at run time.
type Override struct {
	Service string `json:"service"`
	Backend string `json:"backend"`
	Setting string `json:"setting" doc:"as in drain, weight 5"`
	Kept    bool   `json:"kept" doc:"all of it is kept over a restart"`
}

// changeRequest is what /v1/backends/change takes.
type changeRequest struct{ Body BackendOrder }

// change has the source change a backend.
func (h *handler) change(ctx context.Context, in *changeRequest) (BackendChanged, error) {
	c := &in.Body
	if c.Weight != nil && c.Action != ActionWeight {
		return BackendChanged{}, newProblem(http.StatusUnprocessableEntity, "a weight is for the action "+ActionWeight+", not for "+c.Action)
	}
	done, err := h.source.Change(ctx, *c)
	done.Warnings = orEmpty(done.Warnings)
	return done, err
}

// Unknown is the error for a service or a backend that there is not.
func Unknown(err error) error { return newProblem(http.StatusNotFound, err.Error()) }

// Change has a backend changed at run time, and returns when that is in force.
func (c *Client) Change(ctx context.Context, order BackendOrder) (BackendChanged, error) {
	b, err := json.Marshal(order)
	if err != nil {
		return BackendChanged{}, fmt.Errorf("ask for a change of a backend: %w", err)
	}
	return send[BackendChanged](ctx, c, "/v1/backends/change", nil, &content{"application/json", b}, reloadTime)
}
