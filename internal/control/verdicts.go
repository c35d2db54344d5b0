package control

// inquiry is a question that a backend has to answer.
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
	text    [2]string // the latest answers, for people
	excused bool      // whether it holds the address can't be known: why not is that answer
}

func newVerdicts(twofold bool) verdicts {
	v := verdicts{twofold: twofold, text: [2]string{noAnswer, noAnswer}}
	if !twofold {
		v.text[asHeld] = wellChecked
	}
	return v
}

// take takes an answer, in words and whether it is good, and reports whether the backend
// has answered by it: well, if the answer is good.
func (v *verdicts) take(q inquiry, text string, good bool) (counts bool) {
	other := 1 - q
	v.text[q], v.good[q] = text, good
	v.excused = v.excused && q != asHeld
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

// excuse says why it can't be known whether the backend holds the address, which stands
// in nobody's way unless it was known before. It reports whether the backend has
// answered well by that.
func (v *verdicts) excuse(why string) (counts bool) {
	if !v.excused && v.text[asHeld] != noAnswer {
		return false
	}
	counts = v.take(asHeld, why, true)
	v.excused = true
	return counts
}

// outcome is the answers in one, for people: a bad one, if there is any.
func (v *verdicts) outcome() string {
	well, held := v.text[asWell], v.text[asHeld]
	switch {
	case well != noAnswer && well != wellChecked:
		return well
	case v.excused && well == wellChecked:
		return well + ", but " + held
	case held != noAnswer && held != wellChecked && !v.excused:
		return held
	case held == noAnswer:
		return held
	}
	return well
}
