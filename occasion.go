package oauth2llm

import (
	"sync/atomic"
	"time"
)

// An occasion is for a log line that clients can cause: once in 30 seconds.
type occasion struct{ last atomic.Int64 }

const occasionInterval = 30 * time.Second

// now reports whether it is time: once in 30 seconds.
func (o *occasion) now() bool {
	now := time.Now().UnixNano()
	last := o.last.Load()
	if last != 0 && now-last >= 0 && time.Duration(now-last) < occasionInterval {
		return false
	}
	return o.last.CompareAndSwap(last, now)
}
