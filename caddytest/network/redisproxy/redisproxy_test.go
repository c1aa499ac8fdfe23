package redisproxy

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// impatient is a client that sends each command once.
func impatient(t *testing.T, s *Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Address, MaxRetries: -1, ReadTimeout: 500 * time.Millisecond})
	t.Cleanup(func() { client.Close() })
	return client
}

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestWhatPassesIsDisturbedUntilTheToxicIsTakenAway(t *testing.T) {
	for name, test := range map[string]struct {
		toxic Toxic
		fails bool
	}{
		"latency": {Latency, false},
		"slicer":  {Slicer, false},
		"reset":   {Reset, true},
		"timeout": {Timeout, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			client := impatient(t, s)
			if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.Add(test.toxic); err != nil {
				t.Fatal(err)
			}
			if err := client.Get(t.Context(), "k").Err(); (err != nil) != test.fails {
				t.Errorf("disturbed: %v", err)
			}
			if err := s.Remove(t.Context(), test.toxic); err != nil {
				t.Fatal(err)
			}
			wantValue(t, impatient(t, s))
		})
	}
}

func TestNobodyReachesAServerThatIsDown(t *testing.T) {
	s := start(t)
	client := impatient(t, s)
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Down()
	if err := client.Get(t.Context(), "k").Err(); err == nil {
		t.Error("it is reached")
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	wantValue(t, impatient(t, s))
}

func wantValue(t *testing.T, client *redis.Client) {
	t.Helper()
	if value, err := client.Get(t.Context(), "k").Result(); err != nil || value != "v" {
		t.Errorf("afterwards: %q, %v", value, err)
	}
}

func TestAToxicHasAName(t *testing.T) {
	for toxic, want := range map[Toxic]string{Latency: "latency", Slicer: "slicer", Reset: "reset_peer", Timeout: "timeout"} {
		if got := toxic.name(); got != want {
			t.Errorf("%s: %q", toxic, got)
		}
	}
}
