package oauth2llm

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestALogLineThatClientsCauseIsWrittenOnceIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := newLogLimiter()
		var lines atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if limiter.Allow() {
					lines.Add(1)
				}
			})
		}
		all.Wait()
		if lines.Load() != 1 {
			t.Errorf("%d of 100 at once", lines.Load())
		}
		time.Sleep(logInterval - time.Millisecond)
		if limiter.Allow() {
			t.Error("it came again too soon")
		}
		time.Sleep(time.Millisecond)
		if !limiter.Allow() {
			t.Error("it did not come again")
		}
	})
}
