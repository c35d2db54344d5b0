package ends

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/result"
)

// mayLose is how many questions may have no answer. Each costs patience.
const mayLose = 20

// ping asks, one question at a time.
func (t *Task) ping() (result.Sample, error) {
	fd, err := dial(t.Protocol, t.Server)
	if err != nil {
		return result.Sample{}, err
	}
	defer unix.Close(fd)
	p := pinger{fd: fd, message: newMessage(), patience: patience(t.Protocol), took: hdrhistogram.New(1, int64(time.Minute), 3)}
	stop, err := t.beside()
	if err != nil {
		return result.Sample{}, err
	}
	err = p.ask(t.Duration / 10) // to warm up: flows, neighbours and caches are there then
	p.took.Reset()
	p.lost = 0
	if err == nil {
		err = p.ask(t.Duration)
	}
	beside, besideErr := stop()
	if err := errors.Join(err, besideErr); err != nil {
		return result.Sample{}, err
	}
	took, err := p.took.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return result.Sample{}, fmt.Errorf("write histogram: %w", err)
	}
	values := append([]result.Value{{Name: "lost", V: float64(p.lost)}}, beside...)
	return result.Sample{Labels: map[string]string{Histogram: string(took)}, Values: values}, nil
}

// Histogram is the label of a ping's sample with all the times in it.
const Histogram = "histogram"

// Times reads the histogram of a ping's sample, in nanoseconds.
func Times(s result.Sample) (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(s.Labels[Histogram]))
	if err != nil {
		return nil, fmt.Errorf("read histogram: %w", err)
	}
	return h, nil
}

// pinger is one socket and one question.
type pinger struct {
	fd       int
	patience time.Duration
	message  message
	asked    uint64
	lost     int
	took     *hdrhistogram.Histogram
	buf      [4 * size]byte
}

// ask asks for so long. A question without an answer counts as one that has taken as
// long as it was waited for: left out, losses would make the figures better.
func (p *pinger) ask(d time.Duration) error {
	for since := time.Now(); time.Since(since) < d; {
		p.asked++
		p.message.number(p.asked)
		begun := time.Now()
		if _, err := unix.Write(p.fd, p.message[:]); err != nil {
			return fmt.Errorf("ask: %w", err)
		}
		err := p.await()
		took := time.Since(begun)
		if errors.Is(err, unix.EAGAIN) {
			if p.lost++; p.lost > mayLose {
				return fmt.Errorf("%d of %d questions had no answer", p.lost, p.asked)
			}
			err, took = nil, max(took, p.patience)
		}
		if err == nil {
			err = p.took.RecordValue(took.Nanoseconds())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await reads the answer. One that comes after it was given up for lost is passed over.
func (p *pinger) await() error {
	for have := 0; ; {
		n, err := read(p.fd, p.buf[have:])
		if err != nil {
			return fmt.Errorf("await an answer: %w", err)
		}
		if n == 0 {
			return errors.New("await an answer: the connection was closed")
		}
		if have += n; have < size {
			continue
		}
		got, err := check(p.buf[:have])
		if err != nil {
			return err
		}
		if got == p.asked {
			return nil
		}
		if have = 0; got > p.asked {
			return fmt.Errorf("answer to question %d, asked were %d", got, p.asked)
		}
	}
}
