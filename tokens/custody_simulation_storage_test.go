package tokens

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// storageFaults are what is wrong with a storage all the time. The shares are those
// of operations.
type storageFaults struct {
	minLatency, maxLatency time.Duration
	// errors fail, every other one after it has taken effect.
	errors float64
	// looksEmpty says that a failed Load or List says that there is nothing.
	looksEmpty bool
	// lateWrites fail, and take effect up to a minute later.
	lateWrites float64
	// brokenLists break off with brokenBy after some keys.
	brokenLists float64
	brokenBy    error
	// temporaryFiles says that every list holds names that are digits.
	temporaryFiles bool
	// listedFirst says that a key is listed some time before it can be loaded, and
	// killsWhileListed is the share of these in which the writer dies between.
	listedFirst      bool
	killsWhileListed float64
	// loses, if set, changes what is stored, again and again.
	loses func(*simulatedStorage)
}

// A simulatedStorage is what all instances share.
type simulatedStorage struct {
	s      *simulation
	values map[string][]byte
	// listed are all keys, records what answers the records of refresh tokens keep.
	listed  map[string]bool
	records map[string]*rotation
	earlier map[string][]byte
}

func newSimulatedStorage(s *simulation) *simulatedStorage {
	return &simulatedStorage{
		s: s, values: make(map[string][]byte), listed: make(map[string]bool), records: make(map[string]*rotation),
	}
}

// A fault is what happens to one operation.
type fault int

const (
	noFault fault = iota
	failsBefore
	failsAfter
	failsAndLandsLate
)

// maxFaultsInARow bounds the bad luck of an instance with its records: saving is
// tried four times before others may take the claim for abandoned.
const maxFaultsInARow = 3

var errStorageFault = errors.New("connection reset by the storage")

// A storageView is the storage as an instance reaches it.
type storageView struct{ *simulatedInstance }

func (v storageView) Load(ctx context.Context, key string) (value []byte, err error) {
	err = v.operate(ctx, "load", key, func() error {
		var ok bool
		if value, ok = v.s.storage.values[key]; !ok {
			return fs.ErrNotExist
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (v storageView) Store(ctx context.Context, key string, value []byte) error {
	faults := v.s.world.storage
	if faults.listedFirst {
		v.list(key)
		if !sleep(ctx, v.latency()) {
			return ctx.Err()
		}
	}
	var answer *rotation
	v.s.do(func() {
		if answer = v.unsaved; answer == nil && isRecord(key) {
			v.again(key)
		}
	})
	return v.operate(ctx, "store", key, func() error { v.put(key, value, answer); return nil })
}

func (v storageView) Delete(ctx context.Context, key string) error {
	return v.operate(ctx, "delete", key, func() error {
		if !v.s.storage.listed[key] {
			return fs.ErrNotExist
		}
		delete(v.s.storage.values, key)
		delete(v.s.storage.listed, key)
		return nil
	})
}

func (v storageView) List(ctx context.Context, folder string, _ bool) (keys []string, err error) {
	err = v.operate(ctx, "list", folder, func() error {
		keys, err = v.keys(folder)
		return err
	})
	return keys, err
}

// operate lets an operation take its time, have its effect and its faults.
func (v storageView) operate(ctx context.Context, operation, key string, effect func() error) error {
	var fault fault
	v.s.do(func() { fault = v.fault(operation, key) })
	v.thaw()
	if !sleep(ctx, v.latency()) {
		return ctx.Err()
	}
	v.thaw()
	var err error
	v.s.do(func() { err = v.take(fault, operation, key, effect) })
	if errors.Is(err, errOutageHangs) {
		<-ctx.Done()
		return ctx.Err()
	}
	// The answer takes its time too, but it comes.
	time.Sleep(v.latency())
	v.thaw()
	return err
}

func (v storageView) latency() (d time.Duration) {
	v.s.do(func() {
		d = between(v.random, v.s.world.storage.minLatency/2, v.s.world.storage.maxLatency/2)
	})
	return d
}

// take is the moment at which an operation reaches the storage.
func (v storageView) take(fault fault, operation, key string, effect func() error) error {
	isWrite := operation == "store" || operation == "delete"
	err := v.s.outageOf(v.simulatedInstance, isWrite)
	switch {
	case v.dies(v.s.world.kills) || !v.alive:
		// Nobody sees this answer. What writes is content and ends.
		if isWrite {
			return nil
		}
		return errDead
	case err != nil:
		err = v.disguise(operation, err)
	case fault == noFault:
		err = effect()
	case fault == failsBefore:
		err = v.disguise(operation, errStorageFault)
	case fault == failsAfter:
		_ = effect()
		err = v.disguise(operation, errStorageFault)
	case fault == failsAndLandsLate:
		time.AfterFunc(between(v.random, time.Second, time.Minute), func() { v.land(operation, key, effect) })
		err = errStorageFault
	}
	v.notes(operation, key, err)
	return err
}

// land is a write that takes effect long after it has failed.
func (v storageView) land(operation, key string, effect func() error) {
	v.s.do(func() {
		if v.alive && !v.s.healed {
			_ = effect()
			v.s.note(v.name, operation, path.Base(key), "lands late", nil)
		}
	})
}

func (v storageView) notes(operation, key string, err error) {
	result := "ok"
	if err != nil {
		result = err.Error()
	}
	var names []string
	if operation == "list" && err == nil {
		names = v.s.storage.names(key)
	}
	v.s.note(v.name, operation, path.Base(key), result, names)
}

// fault draws what happens to an operation.
func (v storageView) fault(operation, key string) (f fault) {
	faults := v.s.world.storage
	isWrite := operation == "store" || operation == "delete"
	switch {
	case isWrite && v.s.chance(v.random, faults.lateWrites):
		f = failsAndLandsLate
	case v.s.chance(v.random, faults.errors):
		f = failsBefore
		if v.random.IntN(2) == 0 {
			f = failsAfter
		}
	}
	if operation == "store" && isRecord(key) {
		if f == noFault || v.faultsInARow == maxFaultsInARow {
			v.faultsInARow = 0
			return noFault
		}
		v.faultsInARow++
	}
	return f
}

// disguise words an error as the storage words it.
func (v storageView) disguise(operation string, err error) error {
	switch {
	case !v.s.world.storage.looksEmpty || operation == "store" || operation == "delete":
		return err
	case operation == "list":
		return nil
	}
	return fs.ErrNotExist
}

// isRecord reports whether a key is that of a generation of a refresh token.
func isRecord(key string) bool { return strings.HasPrefix(path.Base(key), "gen-") }

// list makes a key known that cannot be loaded yet, if the writer dies for ever.
func (v storageView) list(key string) {
	v.s.do(func() {
		if !v.alive || v.s.outageOf(v.simulatedInstance, true) != nil {
			return
		}
		v.s.storage.listed[key] = true
		if isRecord(key) && v.dies(v.s.world.storage.killsWhileListed) {
			v.s.note(v.name, "store", path.Base(key), "listed and never written", nil)
		}
	})
}

// put stores a value. answer is what the instance has not saved yet, if anything.
func (v storageView) put(key string, value []byte, answer *rotation) {
	if isRecord(key) {
		v.record(key, answer)
	}
	v.s.storage.values[key], v.s.storage.listed[key] = value, true
	v.own[key] = true
}

// again looks at a record that keeps no new answer: it is stored again because the
// storage has lost it.
func (v storageView) again(key string) {
	keys := v.s.storage.keys(path.Dir(key))
	if len(keys) > 0 && isRecord(keys[len(keys)-1]) && keys[len(keys)-1] > key {
		v.s.breach(v.name, path.Base(key)+" is stored again although the storage has a newer one")
	}
}

// record notes which answer a record keeps.
func (v storageView) record(key string, answer *rotation) {
	records := v.s.storage.records
	switch {
	case answer == nil:
	case records[key] != nil && records[key] != answer:
		v.s.breach(v.name, path.Base(key)+" is stored with two different tokens")
	default:
		if records[key] = answer; !answer.saved {
			answer.saved, answer.savedAt = true, time.Now()
		}
		if v.unsaved == answer {
			v.unsaved = nil
		}
	}
}

// sleep waits for some time, and reports false if ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	wait(ctx, d)
	return ctx.Err() == nil
}
