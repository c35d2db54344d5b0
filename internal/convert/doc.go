// Package convert turns the configuration of keepalived, HAProxy or IPVS into one of ours.
//
// Each format has a parser, which finds words and blocks with their lines, and a reading of
// them, which makes services. What has no equivalent becomes a note: a comment in the file
// that is written, with the place in the old one and what to do instead. A word that nobody
// here knows is such a note too, so that nothing is lost silently. What is plainly wrong is
// an error with file and line.
//
// What is written passes check, for [Convert] asks the same code: a service or backend that
// is refused there becomes a comment, with the reason.
package convert
