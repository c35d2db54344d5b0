package api

import (
	"encoding/json"
	"net/http"
)

// Document returns the API's description, in OpenAPI 3.1 and JSON: what /v1/openapi.json
// answers and docs/openapi.json has.
func Document() ([]byte, error) { return newHandler(nil, nil, newStreams(0)).marshal() }

func (h *handler) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(h.api.OpenAPI(), "", "  ")
	return append(b, '\n'), err
}

func (h *handler) document(w http.ResponseWriter, _ *http.Request) {
	b, err := h.marshal()
	if err != nil {
		panic(err) // of this package's types alone: a test has it
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(b) // to a client that may have gone
}
