package engine

// Beats returns how often each worker has come round by now. That grows several times a
// second while the worker moves, whether packets come or not; 0 is one that does not run.
// Who sees the same number after some seconds has seen a worker that stands still.
func (e *Engine) Beats() []uint64 {
	workers := e.all()
	beats := make([]uint64, len(workers))
	for i, w := range workers {
		beats[i] = w.beats.Load()
	}
	return beats
}

// beat says that the worker moves. It is called when it rests, and when it publishes its
// counters: not for each batch.
func (w *worker) beat() { w.beats.Store(w.beats.Load() + 1) }
