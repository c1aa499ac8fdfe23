package tokens

import (
	"errors"
	"time"
)

// outages are the times in which a storage is of no use. They begin at the worst
// moments, and come again.
type outages struct {
	kind outageKind
	// lengths are how long they may last.
	lengths []time.Duration
	// atAnswers is the share of the answers of the server at which one begins, before
	// what came is saved; atSteps that of the operations of the storage.
	atAnswers, atSteps float64
	// hangs says that operations fail by never ending.
	hangs bool
}

type outageKind int

const (
	everythingFails outageKind = iota
	writesFail
	// oneIsCutOff fails for the instance at whose step it began.
	oneIsCutOff
)

// A storageOutage is the present or the last one.
type storageOutage struct {
	until, nextFrom time.Time
	of              *simulatedInstance
}

// calmTime is the least time between two outages.
const calmTime = 30 * time.Second

var (
	errOutage = errors.New("the storage is down")
	// errOutageHangs stands for an operation that never ends.
	errOutageHangs = errors.New("the storage does not answer")
)

// mayBreak lets an outage begin at a step of an instance.
func (s *simulation) mayBreak(i *simulatedInstance, share float64) {
	now := time.Now()
	if now.Before(s.outage.nextFrom) || !s.chance(i.random, share) {
		return
	}
	lengths := s.world.outages.lengths
	length := lengths[i.random.IntN(len(lengths))]
	s.outage = storageOutage{now.Add(length), now.Add(length + calmTime), i}
	s.note(i.name, "outage", length.String(), "", nil)
}

// outageOf is how the storage fails for an instance now, if it does.
func (s *simulation) outageOf(i *simulatedInstance, isWrite bool) error {
	s.mayBreak(i, s.world.outages.atSteps)
	kind := s.world.outages.kind
	switch {
	case s.healed || !time.Now().Before(s.outage.until):
		return nil
	case kind == writesFail && !isWrite:
		return nil
	case kind == oneIsCutOff && s.outage.of != i:
		return nil
	}
	if kind == oneIsCutOff && i.unsaved != nil {
		i.unsaved.cutOff = true
	}
	if s.world.outages.hangs {
		return errOutageHangs
	}
	return errOutage
}
