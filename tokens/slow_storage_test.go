package tokens

import (
	"context"
	"math/rand/v2"
	"time"
)

// A slowStorage is a memoryStorage whose operations take a time.
type slowStorage struct {
	memoryStorage
	random *rand.Rand
	// An operation takes from latency[0] to latency[1].
	latency [2]time.Duration
	// operations counts those that were begun.
	operations int
}

func newSlowStorage() *slowStorage {
	return &slowStorage{random: rand.New(rand.NewPCG(1, 2)), latency: [2]time.Duration{time.Millisecond, 20 * time.Millisecond}}
}

func (s *slowStorage) pass(ctx context.Context) error {
	s.mu.Lock()
	s.operations++
	d := s.latency[0] + time.Duration(s.random.Int64N(int64(s.latency[1]-s.latency[0])+1))
	s.mu.Unlock()
	wait(ctx, d)
	return ctx.Err()
}

func (s *slowStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.pass(ctx); err != nil {
		return nil, err
	}
	return s.memoryStorage.Load(ctx, key)
}

func (s *slowStorage) Store(ctx context.Context, key string, value []byte) error {
	if err := s.pass(ctx); err != nil {
		return err
	}
	return s.memoryStorage.Store(ctx, key, value)
}

func (s *slowStorage) Delete(ctx context.Context, key string) error {
	if err := s.pass(ctx); err != nil {
		return err
	}
	return s.memoryStorage.Delete(ctx, key)
}

func (s *slowStorage) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	if err := s.pass(ctx); err != nil {
		return nil, err
	}
	return s.memoryStorage.List(ctx, folder, recursive)
}
