package control

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// Reload makes spec the wanted state. On an error everything stays as it was.
func (c *Controller) Reload(spec balancer.Spec) error {
	generation, err := c.respecify(spec)
	if err != nil {
		c.ReloadFailed(err)
		return fmt.Errorf("reload: %w", err)
	}
	c.probe()
	c.log.Info("reloaded", zap.Uint64("generation", generation), zap.Int("services", len(spec.Services)))
	return nil
}

// respecify brings a table made from spec into force, and returns its generation.
// Of what it changes, nothing leaves the lock before that has succeeded.
func (c *Controller) respecify(spec balancer.Spec) (generation uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldSpec, oldChecks := c.spec, c.checks
	c.spec, c.checks = spec, c.newChecks(&spec)
	if err := c.renew(); err != nil {
		c.spec, c.checks = oldSpec, oldChecks
		return 0, errors.Join(err, c.renew()) // undoes what the engine has got half done
	}
	if c.watcher != nil {
		c.watcher.Set(addresses(&spec))
	}
	c.reload = "ok"
	return c.table.Generation, nil
}

// ReloadFailed notes why a reload never came to [Controller.Reload], for status.
func (c *Controller) ReloadFailed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload = err.Error()
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
