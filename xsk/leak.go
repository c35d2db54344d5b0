package xsk

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The library asavie maps a socket's rings and never unmaps them. A mapping holds the
// socket open, and an open socket holds its queue, long after its descriptor is
// closed. Here such mappings are found in /proc/self/maps, where they stand as
// "socket:[inode]", and removed. The inode is the socket's own, so that nothing else
// can be meant.

// mapping is a range of addresses that maps a socket.
type mapping struct {
	start, end uintptr
	inode      uint64
}

// socketInode returns the inode of an open socket.
func socketInode(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("inode of socket: %w", err)
	}
	return st.Ino, nil
}

// socketMappings lists this process's mappings of sockets.
func socketMappings() ([]mapping, error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, fmt.Errorf("find the ring maps that github.com/asavie/xdp leaves behind: %w", err)
	}
	defer f.Close()
	return parseMaps(f)
}

// parseMaps reads lines of proc_pid_maps(5): "start-end perms offset dev inode path".
func parseMaps(r io.Reader) ([]mapping, error) {
	var found []mapping
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte("socket:[")) {
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != "socket:["+fields[4]+"]" {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		inode, err3 := strconv.ParseUint(fields[4], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil && start < end {
			found = append(found, mapping{uintptr(start), uintptr(end), inode})
		}
	}
	return found, lines.Err()
}

// unmapSocket removes all mappings of one socket.
func unmapSocket(inode uint64) error {
	return unmapWhere(func(m mapping) bool { return m.inode == inode })
}

// mappedSockets returns the inodes of the sockets that are mapped now.
func mappedSockets() (map[uint64]bool, error) {
	found, err := socketMappings()
	inodes := make(map[uint64]bool, len(found))
	for _, m := range found {
		inodes[m.inode] = true
	}
	return inodes, err
}

// unmapOrphans removes the mappings of sockets that were not mapped before and that
// this process has no descriptor of: a socket being opened elsewhere has one.
func unmapOrphans(before map[uint64]bool) error {
	open, err := openSockets()
	if err != nil {
		return err
	}
	return unmapWhere(func(m mapping) bool { return !before[m.inode] && !open[m.inode] })
}

func unmapWhere(leaked func(mapping) bool) error {
	found, err := socketMappings()
	if err != nil {
		return err
	}
	for _, m := range found {
		if !leaked(m) {
			continue
		}
		if err := unmapRange(m.start, m.end); err != nil {
			return fmt.Errorf("unmap a ring that github.com/asavie/xdp left behind: %w", err)
		}
	}
	return nil
}

// openSockets returns the inodes of this process's open sockets.
func openSockets() (map[uint64]bool, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list open sockets: %w", err)
	}
	inodes := make(map[uint64]bool)
	for _, e := range entries {
		// The descriptor may be closed by now; then it is none that matters.
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue
		}
		if text, ok := strings.CutPrefix(target, "socket:["); ok {
			if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				inodes[inode] = true
			}
		}
	}
	return inodes, nil
}
