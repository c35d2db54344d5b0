package xsk

import "fmt"

// KernelStatistics is struct xdp_statistics of include/uapi/linux/if_xdp.h, counted
// since the socket was made. The last three are 0 before Linux 5.9.
type KernelStatistics struct {
	RxDropped     uint64 // packets longer than a frame takes, or (copy mode) no frame on the FILL ring
	RxInvalid     uint64 // invalid addresses on the FILL ring
	TxInvalid     uint64 // invalid descriptors on the TX ring
	RxRingFull    uint64 // packets dropped because the RX ring was full
	FillRingEmpty uint64 // times the kernel found no frame on the FILL ring
	TxRingEmpty   uint64 // times the kernel found nothing more on the TX ring
}

// Statistics are the kernel's counters and the socket's own.
type Statistics struct {
	KernelStatistics
	Kicks     uint64 // sendto calls
	Again     uint64 // of these, with EAGAIN or ENOBUFS: the kernel wanted a pause
	RxPieces  uint64 // packets received in more than one frame, and refused: too long, or the socket is not for such
	TxDropped uint64 // packets that the interface refused after the kernel had taken them
	Refused   uint64 // descriptors given to Transmit or Release that were not valid or not held
	Strays    uint64 // frames that the kernel returned but did not have: always 0
}

// Add adds another socket's.
func (s *Statistics) Add(o *Statistics) {
	s.RxDropped += o.RxDropped
	s.RxInvalid += o.RxInvalid
	s.TxInvalid += o.TxInvalid
	s.RxRingFull += o.RxRingFull
	s.FillRingEmpty += o.FillRingEmpty
	s.TxRingEmpty += o.TxRingEmpty
	s.Kicks += o.Kicks
	s.Again += o.Again
	s.RxPieces += o.RxPieces
	s.TxDropped += o.TxDropped
	s.Refused += o.Refused
	s.Strays += o.Strays
}

// Statistics reads the counters: of a socket that is closed, as they were when it was. Any
// goroutine may call it.
func (s *Socket) Statistics() (Statistics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statistics()
}

func (s *Socket) statistics() (Statistics, error) {
	k, err := s.kernelStatistics()
	if err != nil {
		return Statistics{}, fmt.Errorf("statistics of %s: %w", s.name, err)
	}
	return Statistics{
		KernelStatistics: k,
		Kicks:            s.counters.kicks.Load(),
		Again:            s.counters.again.Load(),
		RxPieces:         s.counters.pieces.Load(),
		TxDropped:        s.counters.dropped.Load(),
		Refused:          s.counters.refused.Load(),
		Strays:           s.counters.strays.Load(),
	}, nil
}

func (s *Socket) kernelStatistics() (KernelStatistics, error) {
	switch {
	case s.closed:
		return s.last, nil
	case s.kernel != nil:
		return s.kernel.Statistics()
	case s.fd < 0: // a sender: the kernel has nothing to count
		return KernelStatistics{}, nil
	default:
		return getStatistics(s.fd)
	}
}
