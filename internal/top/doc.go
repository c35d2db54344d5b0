// Package top is the full-screen view of a running balancer: afxlb top.
//
// It reads the control API and nothing below it. [Model] is pure: what comes (a key, a
// size, a sample of the balancer) goes through Update, what is seen is made by View, and
// neither asks for anything or reads a clock; what has to be waited for is a command of
// Bubble Tea. So a test may have each frame. A tick asks for the status, and for that one
// list that is looked at; of a list only the rows on the screen are put into words.
package top
