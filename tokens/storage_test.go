package tokens

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// A memoryStorage is a Storage that tests can break.
type memoryStorage struct {
	mu   sync.Mutex
	keys map[string][]byte
	// fault, if set, decides what becomes of an operation: an error of its own, or nil
	// for what the storage does.
	fault func(operation, key string) error
}

func (m *memoryStorage) fails(operation, key string) error {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(operation, key)
}

func (m *memoryStorage) breaks(fault func(operation, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memoryStorage) Load(_ context.Context, key string) ([]byte, error) {
	if err := m.fails("load", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.keys[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(content), nil
}

func (m *memoryStorage) Store(_ context.Context, key string, value []byte) error {
	if err := m.fails("store", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string][]byte)
	}
	m.keys[key] = slices.Clone(value)
	return nil
}

func (m *memoryStorage) Delete(_ context.Context, key string) error {
	if err := m.fails("delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.keys[key]; !ok {
		return fs.ErrNotExist
	}
	delete(m.keys, key)
	return nil
}

func (m *memoryStorage) List(_ context.Context, folder string, _ bool) ([]string, error) {
	m.mu.Lock()
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		if strings.HasPrefix(key, folder+"/") {
			keys = append(keys, key)
		}
	}
	m.mu.Unlock()
	err := m.fails("list", folder)
	if errors.Is(err, errLooksEmpty) {
		return nil, nil
	}
	if err != nil {
		// A list that breaks off may have found something.
		return keys, err
	}
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// names are those of the keys, without their folders.
func (m *memoryStorage) names() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		name := key[strings.LastIndexByte(key, '/')+1:]
		if strings.HasPrefix(name, claimPrefix) {
			name = "a claim"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// change changes the content of the keys whose name begins with a prefix; nil
// deletes them.
func (m *memoryStorage) change(prefix string, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, content := range m.keys {
		if !strings.HasPrefix(key[strings.LastIndexByte(key, '/')+1:], prefix) {
			continue
		}
		if m.keys[key] = change(content); m.keys[key] == nil {
			delete(m.keys, key)
		}
	}
}

// sharing is the view that one process has of a storage.
func sharing(storage Storage) *SharedStorage {
	s := &SharedStorage{}
	s.Bind(storage, zap.NewNop())
	return s
}

// errLooksEmpty is a fault of a list that looks like an empty folder.
var errLooksEmpty = errors.New("looks empty")

var errDown = errors.New("connection refused")

func TestAStorageIsUsedWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &memoryStorage{}
		hangs := make(chan struct{})
		storage.breaks(func(string, string) error { <-hangs; return nil })
		s := sharing(storage)
		started := time.Now()
		_, err := s.load(t.Context(), time.Second, "folder/key")
		failed, ok := errors.AsType[*StorageError](err)
		if !ok || failed.Operation != "load" || failed.Key != "folder/key" || !errors.Is(err, errStorageSlow) || time.Since(started) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(started))
		}
		for range pendingLimit {
			_ = s.store(t.Context(), time.Second, "folder/key", nil)
		}
		if err := s.store(t.Context(), time.Second, "folder/key", nil); !errors.Is(err, errStorageBusy) {
			t.Errorf("a storage that answers nothing gets more operations: %v", err)
		}
		close(hangs)
		synctest.Wait()
		if err := s.store(t.Context(), time.Second, "folder/key", nil); err != nil {
			t.Errorf("the storage answers again, got %v", err)
		}
	})
}

func TestAListIsWholeOrNone(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(tries int) error
		want  string
		fails bool
	}{
		{"it names what is there", func(int) error { return nil }, "a b", false},
		{"it breaks off once because something goes away", func(tries int) error {
			if tries == 1 {
				return fs.ErrNotExist
			}
			return nil
		}, "a b", false},
		{"it breaks off each time", func(int) error { return fs.ErrNotExist }, "", true},
		{"it ends in an error", func(int) error { return errDown }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			storage := &memoryStorage{keys: map[string][]byte{"f/a": nil, "f/deeper/b": nil}}
			tries := 0
			storage.breaks(func(string, string) error { tries++; return test.fault(tries) })
			names, err := sharing(storage).list(t.Context(), time.Second, "f")
			if got := strings.Join(names, " "); got != test.want || (err != nil) != test.fails {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if names, err := sharing(&memoryStorage{}).list(t.Context(), time.Second, "f"); err != nil || len(names) != 0 {
		t.Errorf("a folder that is not there gives %v, %v", names, err)
	}
}

func TestTheStorageOfTheNewestConfigurationIsUsed(t *testing.T) {
	first, second := &memoryStorage{}, &memoryStorage{}
	s := &SharedStorage{}
	unbindFirst := s.Bind(first, zap.NewNop())
	unbindSecond := s.Bind(second, zap.NewNop())
	store := func(key string) {
		t.Helper()
		if err := s.store(t.Context(), time.Second, "f/"+key, nil); err != nil {
			t.Fatal(err)
		}
	}
	store("a")
	unbindSecond()
	store("b")
	// The last one stays: requests of a configuration that is gone still finish.
	unbindFirst()
	store("c")
	if first.names() != "b, c" || second.names() != "a" {
		t.Errorf("the first has %s, the second %s", first.names(), second.names())
	}
}

func TestAPanicOfTheStorageIsAnError(t *testing.T) {
	storage := &memoryStorage{}
	storage.breaks(func(string, string) error { panic("a secret") })
	if err := sharing(storage).delete(t.Context(), time.Second, "f/a"); err == nil || strings.Contains(err.Error(), "a secret") {
		t.Errorf("got %v", err)
	}
	if err := (&SharedStorage{}).delete(t.Context(), time.Second, "f/a"); !errors.Is(err, errNoStorage) {
		t.Errorf("without a storage: %v", err)
	}
}

// What an operation gives counts, also if its time ends in the same moment.
func TestTheErrorOfAnOperationIsTheStorages(t *testing.T) {
	s := sharing(&memoryStorage{})
	for range 2000 {
		if _, err := s.load(t.Context(), time.Second, "f/a"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
	}
}

// A storage that hangs is that of an earlier configuration after a reload.
func TestAStorageThatHangsHoldsUpNoOther(t *testing.T) {
	hangs := make(chan struct{})
	defer close(hangs)
	hung := &memoryStorage{}
	hung.breaks(func(string, string) error { <-hangs; return nil })
	s := sharing(hung)
	for range pendingLimit {
		_ = s.store(t.Context(), time.Microsecond, "f/a", nil)
	}
	s.Bind(&memoryStorage{}, zap.NewNop())
	if err := s.store(t.Context(), time.Second, "f/a", nil); err != nil {
		t.Error(err)
	}
}
