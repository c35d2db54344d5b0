package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// noticeUnfinished says once, when it begins, that packets come with unfinished checksums:
// it costs time that somebody may want to have, and is seen in no packet that leaves.
func (d *daemon) noticeUnfinished(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for d.engine.Info().Total.Completed == 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
	d.log.Warn("packets come with unfinished checksums, which are finished here at some cost: switch TX checksum offload off where they are sent",
		zap.String("interface", d.config.Interface))
}
