package tokens

import (
	"time"

	"go.uber.org/zap"
)

// A storagePause is how long a storage that has failed is left alone by what can do
// without it: for the first time, doubling with each further failure, to the second.
type storagePause struct {
	// until is when it is tried again, delay how long that was; both are zero while it
	// works.
	until time.Time
	delay time.Duration
}

const storageDelay, storageDelayLimit = 10 * time.Second, time.Minute

// usable reports whether there is a storage that is not left alone.
func (s *SharedStorage) usable() bool {
	if !s.available() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.paused.until)
}

// pause leaves the storage alone for a time. What was under way when it failed is no
// further failure.
func (s *SharedStorage) pause(err error) {
	s.mu.Lock()
	now, works := time.Now(), s.paused.delay == 0
	if now.Before(s.paused.until) {
		s.mu.Unlock()
		return
	}
	s.paused.delay = min(max(storageDelay, 2*s.paused.delay), storageDelayLimit)
	s.paused.until = now.Add(s.paused.delay)
	s.mu.Unlock()
	if works {
		s.logger().Warn("the storage fails: access tokens are not shared until it works again", zap.Error(err))
	}
}

// resume notes that the storage works.
func (s *SharedStorage) resume() {
	s.mu.Lock()
	works := s.paused.delay == 0
	s.paused = storagePause{}
	s.mu.Unlock()
	if !works {
		s.logger().Info("the storage works again: access tokens are shared")
	}
}
