package api

import (
	"encoding/json"
	"sync"
	"time"
)

// currentAge is how old a status may be that all who watch it share: they cost no more
// than one that asks ten times a second, however many they are.
const currentAge = 100 * time.Millisecond

// current is a status that is shared.
type current struct {
	mu   sync.Mutex
	text []byte // never changed
	at   time.Time
}

// json returns the status as one line of JSON, which is made by make if it is too old.
func (c *current) json(make func() Status) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text == nil || time.Since(c.at) >= currentAge {
		text, err := json.Marshal(make())
		if err != nil {
			panic(err) // a type of this package's that has no JSON: a test has it
		}
		c.text, c.at = text, time.Now()
	}
	return c.text
}
