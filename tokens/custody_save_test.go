package tokens

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// refusesRecords lets claims be stored, and no record.
func refusesRecords(stores *[]time.Time) func(operation, key string) error {
	return func(operation, key string) error {
		if operation != "store" || !strings.Contains(key, "/"+generationPrefix) {
			return nil
		}
		*stores = append(*stores, time.Now())
		return errDown
	}
}

func TestWhatCannotBeSavedServesAndIsSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var stores []time.Time
		storage.breaks(refusesRecords(&stores))
		c, logs := instance(storage, server)
		token, err := c.Fetch(t.Context(), waiting)
		if err != nil || token.Value.Reveal() != "a2" {
			t.Fatalf("got %v, %v", token, err)
		}
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenUnsaved {
			t.Errorf("the state is %s", status.State)
		}
		if logs.FilterMessageSnippet("cannot be saved").Len() != 1 {
			t.Errorf("logged %v", logs.All())
		}
		// Nothing else is done with it, and its claim keeps others away.
		if got := fetchFor(t, c, Want{InHand: &token, Waiting: true}); got != CodeStorageUnavailable {
			t.Errorf("got %s", got)
		}
		time.Sleep(14*time.Second + time.Millisecond)
		synctest.Wait()
		var delays []string
		for i := 2; i < len(stores); i++ {
			delays = append(delays, stores[i].Sub(stores[i-1]).String())
		}
		if got := strings.Join(delays, " "); got != "1s 2s 4s 4s" {
			t.Errorf("saving was tried again after %s", got)
		}
		if got := storage.names(); got != "a claim" {
			t.Errorf("the storage has %s", got)
		}
		storage.breaks(nil)
		time.Sleep(saveDelayLimit)
		synctest.Wait()
		if got := storage.names(); got != "gen-00000001" {
			t.Errorf("the storage has %s", got)
		}
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenRotated {
			t.Errorf("the state is %s", status.State)
		}
		if got := fetchFor(t, c, Want{InHand: &token, Waiting: true}); got != "a3" || server.used() != "r, r+" {
			t.Errorf("got %s; sent %s", got, server.used())
		}
	})
}

func TestAProcessThatEndsSavesOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var stores []time.Time
		storage.breaks(refusesRecords(&stores))
		c, _ := instance(storage, server)
		fetchFor(t, c, waiting)
		storage.breaks(nil)
		c.Storage.Flush(t.Context())
		if got := storage.names(); got != "gen-00000001" {
			t.Errorf("the storage has %s", got)
		}
		// Whoever cannot have the turn in time is not waited for.
		custody, _, _ := c.custody(t.Context())
		end, _ := custody.begin(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Storage.Flush(ctx)
		end()
	})
}

func TestWhatAnotherInstanceHasStoredMeanwhileIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var stores []time.Time
		storage.breaks(refusesRecords(&stores))
		c, logs := instance(storage, server)
		token, _ := c.Fetch(t.Context(), waiting)

		// Another one takes the claim for abandoned; a server with a grace period takes
		// the old token again.
		storage.breaks(func(_, key string) error {
			if strings.Contains(key, generationName(1)) {
				return errDown
			}
			return nil
		})
		server.current = "r"
		other, _ := instance(storage, server)
		if got := fetchFor(t, other, waiting); got != "a2" {
			t.Errorf("got %s", got)
		}
		storage.breaks(nil)
		time.Sleep(2 * saveDelayLimit)
		synctest.Wait()
		if got := storage.names(); got != "gen-00000003" && got != "gen-00000002" {
			t.Errorf("the storage has %s", got)
		}
		if logs.FilterMessageSnippet("has stored a newer refresh token").Len() != 1 {
			t.Errorf("logged %v", logs.All())
		}
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenRotated {
			t.Errorf("the state is %s", status.State)
		}
		if got := fetchFor(t, c, Want{InHand: &token, Refused: true, Waiting: true}); got != "a3" || server.spent != 0 {
			t.Errorf("got %s; sent %s", got, server.used())
		}
	})
}
