package config

import (
	"fmt"
	"strconv"
	"strings"
)

// maxIndex bounds the queues and CPUs that can be named: the kernel's largest
// CONFIG_NR_CPUS, and more queues than any NIC has.
const maxIndex = 8191

// QueueList is a list of RX queues: worker i serves the i-th of them, and runs on
// the i-th CPU of a [CPUList]. Empty means all queues that the interface has, in
// ascending order. It is a flag value (pflag.Value).
type QueueList []int

// ParseQueues reads `0-3`, `0,2,5-7` or `all`. The order is kept.
func ParseQueues(s string) (QueueList, error) {
	if strings.TrimSpace(s) == "all" {
		return nil, nil
	}
	list, err := parseIndexes(s, "queue")
	if err != nil {
		return nil, fmt.Errorf("%w; want queues as in 0-3, 0,2,5-7 or all", err)
	}
	return list, nil
}

// String returns the form that [ParseQueues] reads.
func (q QueueList) String() string {
	if len(q) == 0 {
		return "all"
	}
	return formatIndexes(q)
}

// Set reads a flag's argument.
func (q *QueueList) Set(s string) (err error) { return assign(q, s, ParseQueues) }

// Type names the value in the help text.
func (q *QueueList) Type() string { return "queues" }

// CPUList is a list of CPUs: worker i, which serves the i-th queue of a
// [QueueList], runs on the i-th of them. Empty means that the engine chooses. It
// is a flag value (pflag.Value).
type CPUList []int

// ParseCPUs reads `2-5` or `4,2,8-9`. The order is kept.
func ParseCPUs(s string) (CPUList, error) {
	list, err := parseIndexes(s, "CPU")
	if err != nil {
		return nil, fmt.Errorf("%w; want CPUs as in 2-5 or 4,2,8-9", err)
	}
	return list, nil
}

// String returns the form that [ParseCPUs] reads, and "" for the empty list.
func (c CPUList) String() string { return formatIndexes(c) }

// Set reads a flag's argument.
func (c *CPUList) Set(s string) error { return assign(c, s, ParseCPUs) }

// Type names the value in the help text.
func (c *CPUList) Type() string { return "cpus" }

// assign is the common body of the flag values' Set.
func assign[T any](dst *T, s string, parse func(string) (T, error)) error {
	v, err := parse(s)
	if err == nil {
		*dst = v
	}
	return err
}

// parseIndexes reads numbers and ascending ranges, separated by commas. A
// number named twice is an error: two workers on one queue or CPU are never
// meant.
func parseIndexes(s, what string) ([]int, error) {
	var list []int
	seen := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, ok1 := parseIndex(low)
		last, ok2 := parseIndex(high)
		switch {
		case !ok1 || !ok2:
			return nil, fmt.Errorf("%q is neither a number up to %d nor a range", part, maxIndex)
		case first > last:
			return nil, fmt.Errorf("range %s runs backwards", part)
		}
		for i := first; i <= last; i++ {
			if seen[i] {
				return nil, fmt.Errorf("%s %d is named twice", what, i)
			}
			seen[i] = true
			list = append(list, i)
		}
	}
	return list, nil
}

func parseIndex(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n <= maxIndex
}

// formatIndexes joins runs of ascending neighbours to ranges.
func formatIndexes(list []int) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		end := i + 1
		for end < len(list) && list[end] == list[end-1]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(list[i]))
		if end-i > 1 {
			b.WriteString("-" + strconv.Itoa(list[end-1]))
		}
		i = end
	}
	return b.String()
}
