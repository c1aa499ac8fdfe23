package tokens

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestAStorageThatFailsIsLeftAloneForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: time.Hour}
		memory.fault = func(string, string) error { return errDown }
		s := newSharedOver(memory, endpoint, zap.New(core))
		memory.latency = [2]time.Duration{}
		var tried []float64
		start := time.Now()
		for range 600 {
			before := memory.operations
			fetched(t, s, Want{Waiting: true})
			if memory.operations != before {
				tried = append(tried, time.Since(start).Seconds())
			}
			time.Sleep(time.Second)
		}
		if want := []float64{0, 10, 30, 70, 130, 190, 250}; len(tried) < len(want) || !slices.Equal(tried[:len(want)], want) {
			t.Errorf("the storage was tried at %v, want %v", tried, want)
		}
		wantRequests(t, endpoint, 600)
		memory.breaks(nil)
		time.Sleep(time.Minute)
		fetched(t, s, Want{Waiting: true})
		fetched(t, s, Want{Waiting: true})
		wantRequests(t, endpoint, 601)
		var lines []string
		for _, line := range logs.All() {
			lines = append(lines, line.Message)
		}
		if !slices.Equal(lines, []string{"the storage fails: access tokens are not shared until it works again", "the storage works again: access tokens are shared"}) {
			t.Errorf("the log says %v", lines)
		}
		if text, _ := logs.All()[0].ContextMap()["error"].(string); !strings.Contains(text, "the storage cannot load oauth2_llm/tokens/") || !strings.Contains(text, "connection refused") {
			t.Errorf("it says %s", text)
		}
	})
}

func TestNoStorageHoldsATokenUp(t *testing.T) {
	isClaim := func(key string) bool { return strings.Contains(key, "/"+claimPrefix) }
	for name, test := range map[string]struct {
		latency [2]time.Duration
		fault   func(operation, key string) error
		longest time.Duration
	}{
		"one that never answers":              {[2]time.Duration{time.Hour, time.Hour}, nil, time.Second},
		"one that takes 0 to 4 s":             {[2]time.Duration{0, 4 * time.Second}, nil, 5 * time.Second},
		"one that takes just under a second":  {[2]time.Duration{900 * time.Millisecond, 950 * time.Millisecond}, nil, 3 * time.Second},
		"one that is full":                    {[2]time.Duration{}, func(operation, _ string) error { return onlyFor(operation == "store") }, time.Second},
		"one that keeps claims, no records":   {[2]time.Duration{}, func(operation, key string) error { return onlyFor(operation == "store" && !isClaim(key)) }, time.Second},
		"one that lists nothing":              {[2]time.Duration{}, func(operation, _ string) error { return onlyFor(operation == "list") }, time.Second},
		"one that says that nothing is there": {[2]time.Duration{}, func(operation, _ string) error { return notThere(operation != "store") }, time.Second},
		"one that deletes nothing":            {[2]time.Duration{}, func(operation, _ string) error { return onlyFor(operation == "delete") }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, endpoint := newSlowStorage(), &fakeEndpoint{lifetime: 10 * time.Minute}
				memory.latency, memory.fault = test.latency, test.fault
				s := newSharedOver(memory, endpoint, zap.NewNop())
				var inHand *Token
				for range 30 {
					start := time.Now()
					token, err := s.Fetch(t.Context(), Want{InHand: inHand, Refused: inHand != nil, Waiting: true})
					if took := time.Since(start); err != nil || took > test.longest {
						t.Errorf("it took %v, %v", took, err)
					}
					inHand = &token
					time.Sleep(7 * time.Second)
				}
				wantRequests(t, endpoint, 30)
				// What was given up has ended as well.
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func onlyFor(failing bool) error {
	if failing {
		return errDown
	}
	return nil
}

func notThere(failing bool) error {
	if failing {
		return fs.ErrNotExist
	}
	return nil
}

func TestOperationsThatFailTogetherAreOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &SharedStorage{}
		if s.usable() {
			t.Error("no storage is usable")
		}
		s.Bind(newSlowStorage(), zap.NewNop())
		for range 5 {
			s.pause(context.DeadlineExceeded)
		}
		time.Sleep(storageDelay - time.Millisecond)
		if s.usable() {
			t.Error("it is tried too early")
		}
		time.Sleep(time.Millisecond)
		if !s.usable() {
			t.Error("it is tried too late")
		}
	})
}
