package doctor

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// lookAtNIC reads where an interface's interrupts are, if it is one that has some. Sysfs may be
// another network namespace's, whose interface of this name is none of ours: what has interrupts
// is hardware's, and in a namespace of its own only if it was moved there.
func lookAtNIC(name string) NIC {
	n := NIC{Node: -1}
	device := "/sys/class/net/" + name + "/device"
	if !sameInterface(name) {
		return n
	}
	numbers := interruptsOf(device)
	if len(numbers) == 0 {
		return n
	}
	if node, err := strconv.Atoi(readWord(device + "/numa_node")); err == nil {
		n.Node = node
	}
	n.Nodes = nodesOfCPUs("/sys/devices/system/node")
	f, err := os.Open("/proc/interrupts")
	if err != nil {
		return n
	}
	defer f.Close()
	n.Interrupts = readInterrupts(f, numbers)
	for i := range n.Interrupts {
		n.Interrupts[i].CPUs = parseCPUs(readWord("/proc/irq/" + strconv.Itoa(n.Interrupts[i].Number) + "/smp_affinity_list"))
	}
	return n
}

// interruptsOf returns the numbers of a device's interrupts; those of virtio are its parent's.
func interruptsOf(device string) (numbers []int) {
	for _, folder := range []string{device, device + "/.."} {
		entries, err := os.ReadDir(folder + "/msi_irqs")
		if err != nil {
			continue
		}
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil {
				numbers = append(numbers, n)
			}
		}
		return numbers
	}
	return nil
}

// queueOf finds the queue in an interrupt's name, as in eth0-TxRx-3, virtio0-input.1, mlx5_comp2@pci:0000:03:00.0
// and ena-mgmnt, which has none.
var queueOf = regexp.MustCompile(`(?i)(?:rx|input|comp|queue|tx|i40e|ice|ena|eth)\w*[-.]?(\d+)$`)

// readInterrupts reads /proc/interrupts for those numbers, as far as they are of queues that
// receive.
func readInterrupts(r io.Reader, numbers []int) (list []Interrupt) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // a column for each CPU
	for lines.Scan() {
		before, rest, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		number, err := strconv.Atoi(before)
		if !ok || err != nil || !slices.Contains(numbers, number) {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		name, _, _ := strings.Cut(fields[len(fields)-1], "@")
		if strings.Contains(name, "output") { // virtio's TX queues
			continue
		}
		if m := queueOf.FindStringSubmatch(name); m != nil {
			queue, _ := strconv.Atoi(m[1])
			list = append(list, Interrupt{Number: number, Queue: queue})
		}
	}
	slices.SortFunc(list, func(a, b Interrupt) int { return a.Queue - b.Queue })
	return list
}

// nodesOfCPUs returns each CPU's NUMA node.
func nodesOfCPUs(folder string) map[int]int {
	nodes := map[int]int{}
	paths, _ := filepath.Glob(folder + "/node[0-9]*/cpulist")
	for _, path := range paths {
		node, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "node"))
		if err != nil {
			continue
		}
		for _, cpu := range parseCPUs(readWord(path)) {
			nodes[cpu] = node
		}
	}
	return nodes
}

// parseCPUs reads a list as the kernel writes it: 0-3,8.
func parseCPUs(text string) (cpus []int) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil || last-first > 1<<16 {
			continue
		}
		for c := first; c <= last; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus
}

// processRuns reports whether a process of that name can be seen.
func processRuns(name string) bool {
	paths, _ := filepath.Glob("/proc/[0-9]*/comm")
	return slices.ContainsFunc(paths, func(path string) bool { return readWord(path) == name })
}

// readWord reads a file of one line; empty if it can't be read.
func readWord(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
