package daemon

import (
	"net"
	"os"
	"time"

	"go.uber.org/zap"
)

// tellTime bounds how long a service manager that has stopped to read is waited for.
const tellTime = time.Second

// tell tells the service manager, if one wants to know: sd_notify(3), a datagram to
// the socket that it names. Serving does not wait for one that does not listen.
func (d *daemon) tell(what string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // @ is the abstract namespace
	if err == nil {
		_ = c.SetWriteDeadline(time.Now().Add(tellTime))
		_, err = c.Write([]byte(what))
		c.Close()
	}
	if err != nil {
		d.log.Warn("tell the service manager", zap.String("what", what), zap.Error(err))
	}
}
