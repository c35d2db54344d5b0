// Package events tells of each change of state once in the log and once in a ring, which
// the control socket shows: the [Recorder] is the one place that both go by. Who sees a
// change makes an [Event] of it: internal/control of the difference of two Views, and
// internal/daemon of what it does and finds itself.
//
// What packets do is no event, lest strangers write the log: that is counted. Only that a
// bound is reached, and that it is not any more, is one.
package events
