package oauth2llm

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnOccasionComesOnceIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o occasion
		var lines atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if o.now() {
					lines.Add(1)
				}
			})
		}
		all.Wait()
		if lines.Load() != 1 {
			t.Errorf("%d of 100 at once", lines.Load())
		}
		time.Sleep(occasionInterval - time.Millisecond)
		if o.now() {
			t.Error("it came again too soon")
		}
		time.Sleep(time.Millisecond)
		if !o.now() {
			t.Error("it did not come again")
		}
	})
}
