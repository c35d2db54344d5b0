package ends

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// size is that of a message, the same in both directions.
const size = 64

// message is a number and bytes that are always the same.
type message [size]byte

func newMessage() (m message) {
	for i := range m {
		m[i] = byte(i*37 + 11)
	}
	return m
}

var pattern = newMessage()

// number sets the message's number.
func (m *message) number(n uint64) { binary.LittleEndian.PutUint64(m[:8], n) }

// check returns the number of an answer, and an error if no client has sent it.
func check(b []byte) (uint64, error) {
	if len(b) != size || !bytes.Equal(b[8:], pattern[8:]) {
		return 0, fmt.Errorf("wrong answer: % x", b)
	}
	return binary.LittleEndian.Uint64(b), nil
}
