package config

import "slices"

// NeedsRestart returns the keys in which c differs from the config that runs and
// which a reload cannot apply, in the order of the file's documentation. What a
// reload does apply (log.level, conntrack.timeouts, services) is not among them.
//
// It compares what the files mean: a default that is written out, or the one
// interface in a list, is no change. Which queues `all` stands for is for the
// interface to say, so `all` and the same queues by number differ.
func (c *Config) NeedsRestart(running *Config) []string {
	var changed []string
	for _, setting := range []struct {
		key  string
		same bool
	}{
		{"interface", slices.Equal(c.Interfaces, running.Interfaces)},
		{"queues", slices.Equal(c.Queues, running.Queues)},
		{"cpus", slices.Equal(c.CPUs, running.CPUs)},
		{"xdp-mode", c.XDPMode == running.XDPMode},
		{"driver", c.Driver == running.Driver},
		{"frame-size", c.FrameSize == running.FrameSize},
		{"poll", c.Poll == running.Poll},
		{"listen", c.Listen == running.Listen},
		{"api.listen", c.API.Listen == running.API.Listen},
		{"api.cert", c.API.Cert == running.API.Cert},
		{"api.key", c.API.Key == running.API.Key},
		{"api.client-ca", c.API.ClientCA == running.API.ClientCA},
		{"log.format", c.Log.Format == running.Log.Format},
		{"conntrack.max-flows", c.Conntrack.MaxFlows == running.Conntrack.MaxFlows},
	} {
		if !setting.same {
			changed = append(changed, setting.key)
		}
	}
	return changed
}
