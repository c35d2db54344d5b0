package daemon

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/xsk"
)

// EngineConfig returns what the config asks of the engine.
func EngineConfig(c *config.Config) engine.Config {
	return engine.Config{
		Interfaces: c.Interfaces, Queues: c.Queues, CPUs: c.CPUs,
		Driver: xsk.Driver(c.Driver), Mode: xsk.Mode(c.XDPMode), FrameSize: uint32(c.FrameSize), Busy: c.Poll == config.PollBusy,
		MaxFlows: c.Conntrack.MaxFlows, Timeouts: timeouts(&c.Conntrack),
	}
}

// settings are those of the engine that runs, with the interfaces that are served now.
func (d *daemon) settings() engine.Config {
	c := EngineConfig(d.config)
	c.Interfaces, c.Grows = d.names(), d.grows
	return c
}

func timeouts(c *config.Conntrack) conntrack.Timeouts {
	t := &c.Timeouts
	return conntrack.Timeouts{
		conntrack.TCPSyn: t.TCPSyn, conntrack.TCPEstablished: t.TCPEstablished,
		conntrack.TCPFinWait: t.TCPFinWait, conntrack.TCPClosing: t.TCPClosing,
		conntrack.UDPNew: t.UDPNew, conntrack.UDPEstablished: t.UDPEstablished, conntrack.ICMP: t.ICMP,
	}
}

// newLog returns a log to w, and its level, which may be changed at any time.
func newLog(w zapcore.WriteSyncer, l config.Log) (*zap.Logger, zap.AtomicLevel) {
	at := zap.NewAtomicLevelAt(level(l))
	return zap.New(zapcore.NewCore(newEncoder(l), w, at)), at
}

// newEncoder returns what makes the log's lines.
func newEncoder(l config.Log) zapcore.Encoder {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	if l.Format == "console" {
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(enc)
	}
	return zapcore.NewJSONEncoder(enc)
}

func level(l config.Log) zapcore.Level {
	at, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		return zapcore.InfoLevel // config has checked it
	}
	return at
}
