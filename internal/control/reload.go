package control

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// Reload makes spec the wanted state. On an error everything stays as it was.
func (c *Controller) Reload(spec balancer.Spec) error {
	old := c.swapSpec(spec)
	if err := c.rebuild(); err != nil {
		c.swapSpec(old)
		c.ReloadFailed(err)
		return fmt.Errorf("reload: %w", err)
	}
	c.mu.Lock()
	c.reload = "ok"
	generation := c.table.Generation
	c.mu.Unlock()
	c.log.Info("reloaded", zap.Uint64("generation", generation), zap.Int("services", len(spec.Services)))
	return nil
}

// ReloadFailed notes why a reload never came to [Controller.Reload], for status.
func (c *Controller) ReloadFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload = err.Error()
}

func (c *Controller) swapSpec(spec balancer.Spec) (old balancer.Spec) {
	c.mu.Lock()
	old, c.spec, c.respecified = c.spec, spec, true
	if c.watcher != nil {
		c.watcher.Set(addresses(&spec))
	}
	c.mu.Unlock()
	c.probe()
	return old
}

// State returns one of the states above.
func (c *Controller) State() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Controller) enter(state string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.reason = state, ""
	if why != nil {
		c.reason = why.Error()
	}
}
