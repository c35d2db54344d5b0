package api

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

const (
	// chunkSize is what is encoded of an answer before it is sent, in bytes: all that
	// a client that doesn't read holds here.
	chunkSize = 32 << 10
	// writeTimeout is how long a client may take to make room for the next chunk.
	writeTimeout = 10 * time.Second
)

// answer sends v, indented for people.
func answer[T any](w http.ResponseWriter, _ *http.Request, v T) {
	a := newAnswer(w)
	a.json.SetIndent("", "  ")
	err := a.json.Encode(v)
	if err == nil {
		err = a.send()
	}
	a.end(err)
}

// answerList sends list as an array, one element a line, while it comes. That is a
// third of the work of an indented one, for what may be a million of them.
func answerList[T any](w http.ResponseWriter, _ *http.Request, list iter.Seq[T]) {
	a, err := newAnswer(w), error(nil)
	before, after := "[\n  ", "[]\n"
	var element T // in one place, where the encoder needs no copy of each
	for element = range list {
		a.WriteString(before)
		if err = a.json.Encode(&element); err != nil {
			break
		}
		a.Truncate(a.Len() - len("\n"))
		before, after = ",\n  ", "\n]\n"
		if a.Len() >= chunkSize {
			if err = a.send(); err != nil {
				break
			}
		}
	}
	if err == nil {
		a.WriteString(after)
		err = a.send()
	}
	a.end(err)
}

// answerer gathers what is encoded of one answer and not yet sent.
type answerer struct {
	bytes.Buffer
	json *json.Encoder // into Buffer
	w    http.ResponseWriter
}

func newAnswer(w http.ResponseWriter) *answerer {
	w.Header().Set("Content-Type", "application/json")
	a := &answerer{w: w}
	a.json = json.NewEncoder(&a.Buffer)
	a.json.SetEscapeHTML(false)
	return a
}

// send writes what was gathered. An error says that the client went away or does not
// read.
func (a *answerer) send() error {
	renewDeadline(a.w)
	if _, err := a.w.Write(a.Bytes()); err != nil {
		return http.ErrAbortHandler
	}
	a.Reset()
	return nil
}

// end ends the handler, and after an error such that what was sent can't be taken for
// a whole answer. Only a type of this package that has no JSON gets into the log so.
func (a *answerer) end(err error) {
	if err != nil {
		panic(err)
	}
}

// renewDeadline gives the client its time for what is written next.
func renewDeadline(w http.ResponseWriter) {
	// Only a test's recorder has no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}
