package vmlab

import (
	"encoding/json"
	"fmt"
	"net"
)

// monitor is QEMU's own ear (docs/interop/qmp-spec): what the guest's hardware is told.
type monitor struct {
	conn net.Conn
	in   *json.Decoder
	out  *json.Encoder
}

func dialMonitor(socket string) (*monitor, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to QEMU's monitor: %w", err)
	}
	m := &monitor{c, json.NewDecoder(c), json.NewEncoder(c)}
	// The greeting is no answer, and is passed over by the first one.
	if err := m.do("qmp_capabilities", nil); err != nil {
		c.Close()
		return nil, err
	}
	return m, nil
}

// do gives an order and waits for what becomes of it. Events are passed over.
func (m *monitor) do(order string, args map[string]any) error {
	request := map[string]any{"execute": order}
	if args != nil {
		request["arguments"] = args
	}
	if err := m.out.Encode(request); err != nil {
		return fmt.Errorf("tell QEMU to %s: %w", order, err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := m.in.Decode(&answer); err != nil {
			return fmt.Errorf("tell QEMU to %s: %w", order, err)
		}
		if answer.Error != nil {
			return fmt.Errorf("tell QEMU to %s: %s", order, answer.Error.Desc)
		}
		if answer.Return != nil {
			return nil
		}
	}
}

func (m *monitor) close() { m.conn.Close() }
