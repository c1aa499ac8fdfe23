package tokens

import "testing"

func TestTheConfiguredRefreshTokenCountsAgainForAllInstances(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	first, _ := instance(storage, server)
	second, _ := instance(storage, server)
	token, err := first.Fetch(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	fetchFor(t, second, waiting)
	if err := first.ForgetRefreshToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.current = "r"
	if status, _ := first.RefreshTokenStatus(t.Context()); status.State != RefreshTokenConfigured {
		t.Errorf("the state is %s", status.State)
	}
	// The other one has the replaced token in memory.
	if got := fetchFor(t, second, Want{InHand: &token, Refused: true, Waiting: true}); got != "a2" && got != "a3" || server.used() != "r, r" {
		t.Errorf("got %s; sent %s", got, server.used())
	}
	if got := storage.names(); got != "gen-00000003" {
		t.Errorf("the storage has %s", got)
	}
}

func TestForgettingAlsoRevivesWhatTheServerHasRefused(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "another"}
	c, _ := instance(storage, server)
	c.GrantType = GrantRefreshToken
	fetchFor(t, c, waiting)
	if err := c.ForgetRefreshToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.current = "r"
	if got := fetchFor(t, c, waiting); got != "a2" {
		t.Errorf("got %s", got)
	}
}

func TestForgettingNeedsTheStorage(t *testing.T) {
	storage := &memoryStorage{}
	c, _ := instance(storage, &rotatingServer{current: "r"})
	fetchFor(t, c, waiting)
	storage.breaks(func(string, string) error { return errDown })
	if err := c.ForgetRefreshToken(t.Context()); err == nil {
		t.Error("it is forgotten although others cannot know")
	}
	if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenRotated {
		t.Errorf("the state is %s", status.State)
	}
	c.RefreshToken = nil
	if status, err := c.RefreshTokenStatus(t.Context()); err != nil || status != (RefreshTokenStatus{}) || c.ForgetRefreshToken(t.Context()) != nil {
		t.Errorf("without a refresh token: %v, %v", status, err)
	}
}
