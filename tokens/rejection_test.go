package tokens

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestU02RefusedTokensCauseThreeTokenRequestsThenOneIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		mustToken(t, m)
		for start := time.Now(); time.Since(start) < 299*time.Second; time.Sleep(100 * time.Millisecond) {
			m.Reject(mustToken(t, m))
		}
		if extra := e.requests() - 1; extra != 3+9 {
			t.Errorf("%d extra token requests in 299 s, want 3 and then one in 30 s", extra)
		}
	})
}

func TestRejectKeepsATokenThatIsNotTheRefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		old := mustToken(t, m)
		for range 10 {
			if !m.Reject(old) {
				t.Fatal("a token that is gone already counts against the budget")
			}
			mustToken(t, m)
		}
		wantRequests(t, e, 2)
	})
}

// An upstream that answers 401 for reasons of its own does not end a token that
// cannot be replaced.
func TestRejectKeepsATokenWhileAnOutageIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEndpoint{lifetime: time.Hour}
		m := newTestManager(e)
		token := mustToken(t, m)
		e.set(func(e *fakeEndpoint) { e.fail = outage })
		_, _ = m.Refresh(t.Context())
		if m.Reject(token) {
			t.Error("asking for another token is said to be worthwhile")
		}
		for range 100 {
			if kept := mustToken(t, m); kept.Value.Reveal() != token.Value.Reveal() {
				t.Fatal("another token is in hand")
			}
			time.Sleep(time.Second)
		}
		asked := e.requests()
		if asked < 5 || asked > 20 {
			t.Errorf("%d token requests in 100 s, want one after each back-off", asked)
		}
		e.set(func(e *fakeEndpoint) { e.fail = nil })
		time.Sleep(outageBackoffLimit)
		mustToken(t, m)
		synctest.Wait()
		if mustToken(t, m).Value.Reveal() == token.Value.Reveal() {
			t.Error("the refused token is not replaced when one can be had")
		}
	})
}

func TestRefusedTokensAreLoggedAsOftenAsTheyAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		m := NewManager("corp")
		m.Bind(&Binding{Fetcher: &fakeEndpoint{lifetime: time.Hour}, Logger: zap.New(core)})
		for range 4 {
			token := mustToken(t, m)
			for range 50 {
				m.Reject(token)
			}
		}
		if dropped, limited := logs.FilterMessageSnippet("the upstream has refused the token: it is dropped and replaced").Len(), logs.FilterMessageSnippet("has refused several tokens").Len(); dropped != 3 || limited != 1 {
			t.Errorf("%d lines about dropped tokens and %d about the limit, want 3 and 1", dropped, limited)
		}
	})
}
