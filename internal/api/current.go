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
		c.text, c.at = line(make()), time.Now()
	}
	return c.text
}

// lists are those of one second, which all who watch share: each is made once at most.
type lists struct {
	mu     sync.Mutex
	second time.Time
	made   map[listKey]*madeList
}

// listKey says which list: by the name of its messages, and of which service if it is
// the list of one.
type listKey struct{ name, service string }

type madeList struct {
	once sync.Once
	at   time.Time
	text []byte // a line of JSON; never changed
}

// of returns the list of this second, which is made by make if nobody has asked for it yet.
func (l *lists) of(second time.Time, k listKey, make func(listKey) any) *madeList {
	made := l.place(second, k)
	made.once.Do(func() { made.at, made.text = time.Now(), line(make(k)) })
	return made
}

func (l *lists) place(second time.Time, k listKey) *madeList {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !second.Equal(l.second) {
		l.second, l.made = second, map[listKey]*madeList{}
	}
	made := l.made[k]
	if made == nil {
		made = &madeList{}
		l.made[k] = made
	}
	return made
}

// line returns v as one line of JSON.
func line(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of this package's that has no JSON: a test has it
	}
	return text
}
