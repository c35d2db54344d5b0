package doctor

import (
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
)

// Here returns what stands against serving c on this machine, in the caller's network
// namespace, a line each, and what is only to be known. It only reads; c names one
// interface at least, and asked is what it asks of the engine. The error is a [MachineError] if
// there is not even an interface or queue to serve.
func Here(c *config.Config, asked *engine.Config) (against, warnings []string, err error) {
	f := &Facts{Config: c}
	if f.survey(asked); f.NoSite != nil {
		return nil, nil, f.NoSite
	}
	if err := f.network(); err != nil {
		return nil, nil, err
	}
	for _, check := range checks {
		if !check.here {
			continue
		}
		r := found{check: check.name, group: check.group}
		check.look(f, &r)
		for i := range r.findings {
			if one := &r.findings[i]; one.Severity == Cannot {
				against = append(against, one.Text())
			} else {
				warnings = append(warnings, one.Text())
			}
		}
	}
	return against, warnings, nil
}
