package network

import (
	"math"
	"testing"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisproxy"
)

// An access token lives for 10 s and is replaced 1 s before its end, which is another
// second early for who has taken it from the storage.
const (
	life          = 10 * time.Second
	refreshBefore = "refresh_before 1s"
	usedFor       = 8 * time.Second
	loadFor       = 40 * time.Second
)

// wantShared checks that no request has failed, and that there were no more token
// requests than tokens were used up, but for some.
func (s *site) wantShared(name string, result fleet.Result, during time.Duration, more int) {
	s.t.Helper()
	lifetimes, requests := int(math.Ceil(float64(during)/float64(usedFor))), s.auth.Requests(client)
	figure(s.t, name, "%v; %d token requests in %d lifetimes; the LLM refused %d", result, requests, lifetimes, s.llm.Refused())
	if result.AllFailed() > 0 || result.Sent == 0 {
		s.t.Errorf("%v", result)
	}
	if requests > lifetimes+more {
		s.t.Errorf("%d token requests, want at most %d", requests, lifetimes+more)
	}
}

func TestThreeInstancesShareOneLiveTokenOverAFolder(t *testing.T) {
	t.Parallel()
	auth := newAuthServer(life)
	auth.OneLive = true
	s := startSite(t, auth, 3, "file_system "+t.TempDir(), "share_tokens", refreshBefore)
	load := s.Load("corp/m", 100*time.Millisecond)
	time.Sleep(loadFor)
	s.wantShared("three_instances", load.Stop(), loadFor, 1)
}

// A reload keeps the token. A changed secret is another record in the storage, and so
// one more token request.
func TestTwoInstancesShareOneLiveTokenOverAReloadAndAChangedSecret(t *testing.T) {
	t.Parallel()
	auth := newAuthServer(life)
	auth.OneLive = true
	s := startSite(t, auth, 2, "file_system "+t.TempDir(), "share_tokens", refreshBefore)
	load := s.Load("corp/m", 100*time.Millisecond)
	for step := range 4 {
		time.Sleep(loadFor / 4)
		var err error
		switch step {
		case 0, 2:
			err = s.Reload(t.Context())
		case 1:
			writeSecret(t, s.secret, secondSecret)
		}
		if err != nil {
			t.Error(err)
		}
	}
	s.wantShared("two_instances_reload_secret", load.Stop(), loadFor, 2)
}

// Without share_tokens each instance's token ends that of the others.
func TestInstancesThatDoNotShareEndEachOthersToken(t *testing.T) {
	t.Parallel()
	auth := newAuthServer(life)
	auth.OneLive = true
	s := startSite(t, auth, 3, "file_system "+t.TempDir(), "", refreshBefore)
	load := s.Load("corp/m", 100*time.Millisecond)
	time.Sleep(loadFor / 4)
	result := load.Stop()
	figure(t, "not_shared", "%v; %d token requests", result, auth.Requests(client))
	if result.AllFailed() < result.Sent/20 {
		t.Errorf("%v: the other tests show nothing", result)
	}
}

// Latency is always there, the slicer over a refresh too; what breaks connections
// comes and goes between two of them.
func TestThreeInstancesShareOneLiveTokenOverADisturbedNetwork(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	if err := redis.Add(redisproxy.Latency); err != nil {
		t.Fatal(err)
	}
	auth := newAuthServer(life)
	auth.OneLive = true
	s := startSite(t, auth, 3, "test_redis "+redis.Address, "share_tokens", refreshBefore)
	load, begun := s.Load("corp/m", 100*time.Millisecond), time.Now()
	const moment = 3 * time.Second
	for _, act := range []func(){
		func() { disturb(t, redis, redisproxy.Slicer, usedFor) },
		func() { disturb(t, redis, redisproxy.Reset, moment) },
		func() { disturb(t, redis, redisproxy.Timeout, moment) },
		func() {
			redis.Down()
			time.Sleep(moment)
			if err := redis.Up(); err != nil {
				t.Error(err)
			}
		},
	} {
		s.awaitTokenRequest()
		// All instances take the new token from the storage; that takes a moment.
		time.Sleep(2 * time.Second)
		act()
	}
	s.awaitTokenRequest()
	during := time.Since(begun)
	s.wantShared("three_instances_"+redis.Kind, load.Stop(), during, 1)
}

// Where the server lets several tokens live, an instance that does not reach the
// storage works with its own.
func TestNobodyFailsWhileTheStorageIsAway(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	redis.Down()
	auth := newAuthServer(life)
	s := startSite(t, auth, 3, "test_redis "+redis.Address, "share_tokens", refreshBefore)
	load := s.Load("corp/m", 100*time.Millisecond)
	time.Sleep(usedFor)
	if err := redis.Up(); err != nil {
		t.Fatal(err)
	}
	for _, toxic := range []redisproxy.Toxic{redisproxy.Timeout, redisproxy.Reset} {
		disturb(t, redis, toxic, usedFor+time.Second)
	}
	redis.Down()
	time.Sleep(usedFor + time.Second)
	result := load.Stop()
	figure(t, "storage_away_"+redis.Kind, "%v; %d token requests", result, auth.Requests(client))
	if result.AllFailed() > 0 || result.Sent == 0 {
		t.Errorf("%v", result)
	}
	// No wait for the storage is longer than it may be.
	if result.Slowest > 6*time.Second {
		t.Errorf("a request took %v", result.Slowest)
	}
}
