package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// interrupts says where the queues' interrupts are in each other's way or in a worker's.
func interrupts(m *Machine, r *found) {
	for i := range m.NICs {
		n, name := &m.NICs[i], m.Ports[i]
		if len(n.Interrupts) == 0 {
			continue
		}
		cpus, crowded := []int(nil), []string(nil)
		for _, irq := range n.Interrupts {
			if len(irq.CPUs) != 1 { // the kernel or irqbalance chooses
				continue
			}
			if cpu := irq.CPUs[0]; !slices.Contains(cpus, cpu) {
				cpus = append(cpus, cpu)
			}
			if w := slices.Index(m.CPUs, irq.CPUs[0]); w >= 0 && w != irq.Queue {
				crowded = append(crowded, fmt.Sprintf("%d of queue %d on CPU %d, which is the worker's of queue %d", irq.Number, irq.Queue, irq.CPUs[0], w))
			}
		}
		if first := n.Interrupts[0]; len(n.Interrupts) > 1 && len(cpus) == 1 && len(first.CPUs) == 1 && slices.IndexFunc(n.Interrupts, func(q Interrupt) bool { return len(q.CPUs) != 1 }) < 0 {
			r.add(name, Warning, fmt.Sprintf("the interrupts of all %d queues are on CPU %d", len(n.Interrupts), cpus[0]), "one CPU receives what all queues are for",
				"give each one of its own: "+n.spread())
		} else if len(crowded) > 0 {
			r.add(name, Warning, "interrupts are on the CPUs of other queues' workers: "+some(crowded), "each takes the other's time",
				"give each the CPU of its own queue's worker or a free one: "+n.spread())
		} else {
			r.saw("%s: interrupts of %d queues", name, len(n.Interrupts))
		}
		if m.Balances {
			r.add(name, Warning, "irqbalance runs", "it moves the queues' interrupts to the workers' CPUs and away again",
				"systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST with the workers' CPUs")
		}
	}
}

// spread is a command that gives the interrupts CPUs.
func (n *NIC) spread() string {
	q := n.Interrupts[len(n.Interrupts)-1]
	return fmt.Sprintf("echo %d > /proc/irq/%d/smp_affinity_list, and so on", q.Queue, q.Number)
}

// numa says which workers are far from the NIC.
func numa(m *Machine, r *found) {
	for i := range m.NICs {
		n, name := &m.NICs[i], m.Ports[i]
		if n.Node < 0 {
			continue
		}
		var far []string
		for q, cpu := range m.CPUs {
			if node, known := n.Nodes[cpu]; known && node != n.Node {
				far = append(far, fmt.Sprintf("CPU %d of queue %d on node %d", cpu, q, node))
			}
		}
		if len(far) == 0 {
			r.saw("%s: NUMA node %d, as the workers", name, n.Node)
			continue
		}
		var near []string
		for cpu, node := range n.Nodes {
			if node == n.Node {
				near = append(near, fmt.Sprint(cpu))
			}
		}
		slices.Sort(near)
		r.add(name, Warning, fmt.Sprintf("the NIC is on NUMA node %d, and workers are not: %s", n.Node, some(far)), "each packet crosses between the nodes",
			"set cpus to some of "+strings.Join(near, ","))
	}
}
