package oauth2llm

import (
	"sync/atomic"
	"time"
)

// An occasion is for what clients can cause and what must not happen for each of
// their requests, such as a log line.
type occasion struct{ last atomic.Int64 }

const occasionInterval = 30 * time.Second

// now reports whether it is time: once in 30 seconds.
func (o *occasion) now() bool { return o.every(occasionInterval) }

// every reports whether it is time, once in an interval.
func (o *occasion) every(interval time.Duration) bool {
	now := time.Now().UnixNano()
	last := o.last.Load()
	if last != 0 && now-last >= 0 && time.Duration(now-last) < interval {
		return false
	}
	return o.last.CompareAndSwap(last, now)
}
