package daemon

import (
	"net"
	"os"

	"go.uber.org/zap"
)

// tell tells the service manager, if one wants to know: sd_notify(3), a datagram to
// the socket that it names.
func (d *daemon) tell(what string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // @ is the abstract namespace
	if err == nil {
		_, err = c.Write([]byte(what))
		c.Close()
	}
	if err != nil {
		d.log.Warn("tell the service manager", zap.String("what", what), zap.Error(err))
	}
}
