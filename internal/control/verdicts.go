package control

import "slices"

// inquiry is one of those that a backend has to answer.
type inquiry uint8

const (
	asWell inquiry = iota // the configured check, at the backend's own address
	asHeld                // where its mode needs that, whether it holds the service's address
)

// verdicts makes one row of answers of those to all questions of a backend, so that it
// takes rise rounds in which all were good to bring it up, and fall bad answers to the
// same question to take it down. Two questions take no backend down twice as fast.
type verdicts struct {
	twofold bool      // both questions are asked
	good    [2]bool   // was answered well in this round
	blame   [2]bool   // the one whose bad answers count, if any; the other's do not meanwhile
	text    [2]string // the latest answers, for people; empty: nothing to tell
}

func newVerdicts(twofold bool) verdicts {
	v := verdicts{twofold: twofold, text: [2]string{asWell: noAnswer}}
	if twofold {
		v.text[asHeld] = noAnswer
	}
	return v
}

// take takes an answer, in words and whether it is good, and reports whether the backend
// has answered by it: well, if the answer is good.
func (v *verdicts) take(q inquiry, text string, good bool) (counts bool) {
	other := 1 - q
	v.text[q], v.good[q] = text, good
	switch {
	case !v.twofold:
		return true
	case !good:
		v.good = [2]bool{} // a round begins anew
		v.blame[q] = !v.blame[other]
		return v.blame[q]
	}
	v.blame[q] = false
	if !v.good[other] {
		return false
	}
	v.good = [2]bool{}
	return true
}

// excuse says that a question can't be asked, which stands in nobody's way unless it was
// answered before. It reports whether the backend has answered well by that.
func (v *verdicts) excuse(q inquiry) (counts bool) {
	return (v.text[q] == noAnswer || v.text[q] == "") && v.take(q, "", true)
}

// outcome is the answers in one, for people: a bad one, if there is any.
func (v *verdicts) outcome() string {
	for _, t := range v.text {
		if t != "" && t != noAnswer && t != wellChecked {
			return t
		}
	}
	if slices.Contains(v.text[:], noAnswer) {
		return noAnswer
	}
	return v.text[asWell]
}
