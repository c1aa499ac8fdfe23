package tokens

import (
	"context"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A sharedMemory is a Storage in memory, as slow and as faulty as a test makes it.
type sharedMemory struct {
	mu      sync.Mutex
	records map[string][]byte
	random  *rand.Rand
	// An operation takes from latency[0] to latency[1].
	latency [2]time.Duration
	// fault, if set, is asked what an operation ends with.
	fault func(operation, key string) error
	// operations counts those that were begun.
	operations int
}

func newSharedMemory() *sharedMemory {
	return &sharedMemory{
		records: make(map[string][]byte), random: rand.New(rand.NewPCG(1, 2)),
		latency: [2]time.Duration{time.Millisecond, 20 * time.Millisecond},
	}
}

// operate takes the time of an operation, and gives its fault.
func (m *sharedMemory) operate(ctx context.Context, operation, key string) error {
	m.mu.Lock()
	m.operations++
	d := m.latency[0] + time.Duration(m.random.Int64N(int64(m.latency[1]-m.latency[0])+1))
	fault := m.fault
	m.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if fault != nil {
		return fault(operation, key)
	}
	return nil
}

func (m *sharedMemory) Load(ctx context.Context, key string) ([]byte, error) {
	if err := m.operate(ctx, "load", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.records[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(content), nil
}

func (m *sharedMemory) Store(ctx context.Context, key string, value []byte) error {
	if err := m.operate(ctx, "store", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[key] = slices.Clone(value)
	return nil
}

func (m *sharedMemory) Delete(ctx context.Context, key string) error {
	if err := m.operate(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, key)
	return nil
}

func (m *sharedMemory) List(ctx context.Context, folder string, _ bool) ([]string, error) {
	if err := m.operate(ctx, "list", folder); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.records {
		if strings.HasPrefix(key, folder+"/") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// keys are the last elements of all keys, in order; claims have none of their digits.
func (m *sharedMemory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, key := range slices.Sorted(maps.Keys(m.records)) {
		name := path.Base(key)
		if strings.HasPrefix(name, claimPrefix) {
			name = claimPrefix
		}
		names = append(names, name)
	}
	return names
}

func (m *sharedMemory) set(change func(*sharedMemory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}
