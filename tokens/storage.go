package tokens

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// A Storage keeps what outlives the process and what several instances share. A
// certmagic.Storage is one, and so is what Caddy gives a configuration. Locks are
// not used: what storages mean by them differs (see claims).
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// A SharedStorage is the storage of all providers of the process, and what the
// process remembers of it beyond a configuration. Each operation uses the storage
// that was bound last: the client of an earlier one may be closed already. The zero
// value is ready for use, and has no storage.
type SharedStorage struct {
	mu    sync.Mutex
	bound []*boundStorage
	// custodies are what has become of refresh tokens, by the identity of the
	// configured one.
	custodies map[string]*custody
	// folders are the claims that were seen, by folder.
	folders map[string]*claims
	paused  storagePause
}

type boundStorage struct {
	storage Storage
	logger  *zap.Logger
	// pending counts operations that have not returned, given up ones too.
	pending atomic.Int64
}

// Bind makes a configuration's storage the one in use. The returned function takes
// it back, and the one before it, if any, is in use again. The last one stays:
// requests of a configuration that is gone still finish.
func (s *SharedStorage) Bind(storage Storage, logger *zap.Logger) (unbind func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bound := &boundStorage{storage: storage, logger: logger}
	s.bound = append(s.bound, bound)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.bound, bound); i >= 0 && len(s.bound) > 1 {
			s.bound = slices.Delete(slices.Clone(s.bound), i, i+1)
		}
	}
}

// newest is what was bound last, nil without a storage.
func (s *SharedStorage) newest() *boundStorage {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bound) == 0 {
		return nil
	}
	return s.bound[len(s.bound)-1]
}

func (s *SharedStorage) available() bool { return s.newest() != nil }

// logger is the newest configuration's.
func (s *SharedStorage) logger() *zap.Logger {
	if bound := s.newest(); bound != nil {
		return bound.logger
	}
	return zap.NewNop()
}

// A StorageError is a failure of an operation of the storage.
type StorageError struct {
	// Operation is "load", "store", "delete", "list" or "read".
	Operation string
	// Key is the key, or the folder that was listed.
	Key string
	// Err is the cause. It is the storage's and may hold anything.
	Err error
}

func (e *StorageError) Error() string {
	text := fmt.Sprintf("the storage cannot %s %s: %s", e.Operation, e.Key, Clean(e.Err.Error()))
	if errors.Is(e.Err, errUnreadable) {
		text += fmt.Sprintf("; delete the folder %s to begin again with the configured refresh token, or put a new one into the configuration", path.Dir(e.Key))
	}
	return text
}

// Unwrap returns the cause.
func (e *StorageError) Unwrap() error { return e.Err }

var (
	errStorageSlow = errors.New("no answer in time")
	errStorageBusy = errors.New("too many operations have not been answered")
	errNoStorage   = errors.New("no storage is configured")
)

// cannotBeWritten reports whether a storage says that nothing can ever be written to
// it, as the file system of a container without a volume does.
func cannotBeWritten(err error) bool {
	failed, ok := errors.AsType[*StorageError](err)
	return ok && failed.Operation == "store" && isReadOnly(failed.Err)
}

func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func (s *SharedStorage) load(ctx context.Context, limit time.Duration, key string) ([]byte, error) {
	return operate(ctx, s, limit, "load", key, func(ctx context.Context, storage Storage) ([]byte, error) {
		return storage.Load(ctx, key)
	})
}

func (s *SharedStorage) store(ctx context.Context, limit time.Duration, key string, value []byte) error {
	_, err := operate(ctx, s, limit, "store", key, func(ctx context.Context, storage Storage) (struct{}, error) {
		return struct{}{}, storage.Store(ctx, key, value)
	})
	return err
}

// delete deletes a key. One that is gone already is deleted.
func (s *SharedStorage) delete(ctx context.Context, limit time.Duration, key string) error {
	_, err := operate(ctx, s, limit, "delete", key, func(ctx context.Context, storage Storage) (struct{}, error) {
		return struct{}{}, storage.Delete(ctx, key)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// listTries is how often a folder is listed that changes meanwhile.
const listTries = 3

// list returns the names in a folder, none if the folder does not exist. A list that
// breaks off names nothing: what it leaves out may be what matters. Only the last
// element of a name counts: storages differ in what they put before it. It is
// recursive, because some list nothing but folders otherwise.
func (s *SharedStorage) list(ctx context.Context, limit time.Duration, folder string) ([]string, error) {
	for try := 1; ; try++ {
		keys, err := operate(ctx, s, limit, "list", folder, func(ctx context.Context, storage Storage) ([]string, error) {
			return storage.List(ctx, folder, true)
		})
		switch {
		case err == nil:
			names := make([]string, len(keys))
			for i, key := range keys {
				names[i] = path.Base(key)
			}
			return names, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case try < listTries:
			// The first name may have gone away meanwhile, which looks the same.
		case len(keys) == 0:
			return nil, nil
		default:
			return nil, err
		}
	}
}

// pendingLimit bounds the operations that a storage has not answered.
const pendingLimit = 64

// operate runs an operation of the storage. One that takes longer than limit is
// given up: it may still take effect.
func operate[T any](ctx context.Context, s *SharedStorage, limit time.Duration, operation, key string, run func(context.Context, Storage) (T, error)) (value T, err error) {
	failed := func(err error) error { return &StorageError{Operation: operation, Key: key, Err: err} }
	bound := s.newest()
	if bound == nil {
		return value, failed(errNoStorage)
	}
	if bound.pending.Add(1) > pendingLimit {
		bound.pending.Add(-1)
		return value, failed(errStorageBusy)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errStorageSlow)
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer bound.pending.Add(-1)
		defer cancel()
		var r result
		defer func() {
			if p := recover(); p != nil {
				// The value may be anything, a secret too: only its type is shown.
				r.err = fmt.Errorf("the storage panicked with a %T", p)
			}
			done <- r
		}()
		r.value, r.err = run(ctx, bound.storage)
	}()
	finished := func(r result) (T, error) {
		if errors.Is(r.err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errStorageSlow) {
			r.err = errStorageSlow
		}
		if r.err != nil {
			// What came before the error is given too: see list.
			return r.value, failed(r.err)
		}
		return r.value, nil
	}
	select {
	case r := <-done:
		return finished(r)
	case <-ctx.Done():
		// Its end may be the operation's.
		select {
		case r := <-done:
			return finished(r)
		default:
			return value, failed(context.Cause(ctx))
		}
	}
}
