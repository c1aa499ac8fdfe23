package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/fleet"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/redisproxy"
	"github.com/oauth2llm/caddy-oauth2-llm/caddytest/network/standin"
)

const (
	tokenLife   = 5 * time.Second
	usedFor     = tokenLife / 2
	reloadEach  = 10 * time.Second
	measureEach = 10 * time.Second
	secret      = "the-secret-of-both-clients"
)

// A soak is a fleet, what it uses, and what has been seen of it.
type soak struct {
	redis    *redisproxy.Server
	auth     *standin.AuthServer
	grant    *standin.Grant
	fleet    *fleet.Fleet
	killer   *fleet.Killer
	shared   *fleet.Load
	rotating *fleet.Load
	begun    time.Time
	closers  []func()

	mu      sync.Mutex
	reloads int
	heaps   []float64
	first   fleet.Measures
	last    fleet.Measures
	// errors are what went wrong with the soak itself.
	errors []error
}

func newSoak(ctx context.Context, folder string, instances int) (s *soak, err error) {
	s = &soak{grant: &standin.Grant{Grace: time.Minute}, killer: new(fleet.Killer)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.redis, err = redisproxy.Start(ctx, folder); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.redis.Stop)
	s.auth = &standin.AuthServer{
		Secrets: map[string][]string{"shared": {secret}, "rotating": {secret}},
		Life:    tokenLife, Grant: s.grant, Delay: 20 * time.Millisecond,
		BeforeAnswer: func(r *http.Request) {
			if r.PostFormValue("client_id") == "rotating" {
				s.killer.Granted(r.Context())
			}
		},
	}
	tokenURL, err := s.serve(s.auth)
	if err != nil {
		return nil, err
	}
	llmURL, err := s.serve(&standin.LLM{Auth: s.auth})
	if err != nil {
		return nil, err
	}
	refreshToken := filepath.Join(folder, "refresh_token")
	if err := os.WriteFile(refreshToken, []byte(s.grant.Begin()), 0o600); err != nil {
		return nil, err
	}
	if err := os.Setenv("CLIENT_SECRET", secret); err != nil {
		return nil, err
	}
	provider := func(name, field string) string {
		return fmt.Sprintf("provider %s {\n\tclient_id %s\n\tclient_secret {env.CLIENT_SECRET}\n\ttoken_url %s\n\tbase_url %s\n\t%s\n}\n", name, name, tokenURL, llmURL, field)
	}
	binary, err := fleet.Build(ctx, folder)
	if err != nil {
		return nil, err
	}
	s.fleet, err = fleet.Start(ctx, binary, folder, instances, fleet.Config{
		Storage: "test_redis " + s.redis.Address + " index_first",
		Options: "share_tokens\n" + provider("shared", "grant_type client_credentials") + provider("rotating", "refresh_token_file "+refreshToken),
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.fleet.Stop)
	return s, s.redis.Add(redisproxy.Latency)
}

func (s *soak) serve(handler http.Handler) (url string, err error) {
	url, stop, err := standin.Serve(handler)
	if err == nil {
		s.closers = append(s.closers, stop)
	}
	return url, err
}

func (s *soak) close() {
	for _, closer := range slices.Backward(s.closers) {
		closer()
	}
}

// soak loads and disturbs the fleet, and prints a line a minute.
func (s *soak) soak(ctx context.Context, during time.Duration) error {
	s.begun = time.Now()
	s.shared = s.fleet.Load("shared/m", 50*time.Millisecond)
	s.rotating = s.fleet.Load("rotating/m", 100*time.Millisecond)
	if len(s.fleet.Instances) > 1 {
		s.killer.Begin(s.fleet, 5, 1)
	}
	for range 20 {
		s.fleet.Once(ctx, "shared/m")
	}
	s.measure(ctx)

	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { each(ctx, reloadEach, s.reload) })
	running.Go(func() { each(ctx, measureEach, s.measure) })
	running.Go(func() {
		each(ctx, time.Minute, func(context.Context) { fmt.Println(time.Since(s.begun).Round(time.Second), s.report()) })
	})
	running.Go(func() { each(ctx, 15*time.Second, s.disturb) })
	running.Go(func() { each(ctx, 12*time.Second, s.killer.Kill) })
	running.Wait()
	if err := s.killer.End(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errors) > 0 {
		return s.errors[0]
	}
	return nil
}

// each does something at intervals until ctx ends.
func each(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			do(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// reload loads the configuration of the first instance anew, which is always up.
func (s *soak) reload(context.Context) {
	err := s.fleet.Instances[0].Reload(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloads++
	s.note(err)
}

// note keeps an error. The caller holds the lock.
func (s *soak) note(err error) {
	if err != nil {
		s.errors = append(s.errors, err)
	}
}

// disturb lets one toxic act for some seconds, or takes the server away.
func (s *soak) disturb(ctx context.Context) {
	moment := time.Second + rand.N(4*time.Second) //nolint:gosec // Whoever guesses it has won nothing.
	toxics := []redisproxy.Toxic{redisproxy.Slicer, redisproxy.Reset, redisproxy.Timeout}
	begin, end := func() error { s.redis.Down(); return nil }, func() error { return s.redis.Up() }
	if n := rand.IntN(len(toxics) + 1); n < len(toxics) { //nolint:gosec // The same.
		begin = func() error { return s.redis.Add(toxics[n]) }
		end = func() error { return s.redis.Remove(context.WithoutCancel(ctx), toxics[n]) }
	}
	err := begin()
	select {
	case <-time.After(moment):
	case <-ctx.Done():
	}
	if err == nil {
		err = end()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(err)
}

// measure asks the first instance, which is never killed.
func (s *soak) measure(context.Context) {
	m, err := s.fleet.Instances[0].Measure(context.Background())
	if err != nil {
		// A reload replaces the server that is asked, and may close the connection.
		m, err = s.fleet.Instances[0].Measure(context.Background())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(err)
	if s.first == (fleet.Measures{}) {
		s.first = m
	}
	s.last = m
	s.heaps = append(s.heaps, float64(m.HeapBytes))
}

// finish ends the load, lets the fleet come to rest, and reports.
func (s *soak) finish(ctx context.Context) report {
	r := s.report()
	r.shared, r.rotating = s.shared.Stop(), s.rotating.Stop()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if s.fleet.Once(ctx, "rotating/m").AllFailed() == 0 {
			break
		}
	}
	s.measure(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.goroutines, r.heap = s.last.Goroutines, s.last.HeapBytes
	r.grant = s.grant.Report()
	return r
}

// report says what the soak has come to so far.
func (s *soak) report() report {
	s.mu.Lock()
	defer s.mu.Unlock()
	lifetimes := int(math.Ceil(float64(time.Since(s.begun)) / float64(usedFor)))
	kills := s.killer.Kills()
	return report{
		shared: s.shared.Result(), rotating: s.rotating.Result(),
		sharedRequests: s.auth.Requests("shared"), fewest: lifetimes, most: lifetimes*len(s.fleet.Instances) + kills,
		rotatingRequests: s.auth.Requests("rotating"), grant: s.grant.Report(),
		kills: kills, beforeAnswer: s.killer.BeforeAnswer(), reloads: s.reloads,
		// The first third is for pools and caches to fill.
		heapPerMinute: fleet.Slope(s.heaps[len(s.heaps)/3:]) * float64(time.Minute/measureEach),
		heap:          s.last.HeapBytes, goroutines: s.last.Goroutines, goroutinesBefore: s.first.Goroutines,
	}
}
