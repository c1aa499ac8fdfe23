package tokens

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A Store may list a key and fail before it has written it.
func TestARecordThatWasListedButNotWrittenIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		stores := 0
		storage.breaks(func(operation, key string) error {
			switch {
			case !strings.Contains(key, "/"+generationPrefix):
				return nil
			case operation == "store":
				if stores++; stores == 1 {
					storage.mu.Lock()
					storage.keys[key] = nil
					storage.mu.Unlock()
					return errDown
				}
			case operation == "load" && stores == 1:
				return fs.ErrNotExist
			}
			return nil
		})
		c, _ := instance(storage, server)
		fetchFor(t, c, waiting)
		time.Sleep(firstSaveDelay)
		synctest.Wait()
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenRotated || stores != 2 || storage.names() != "gen-00000001" {
			t.Errorf("the state is %s after %d stores, the storage has %s", status.State, stores, storage.names())
		}
	})
}

// A cutStorage is the way of one instance to the storage.
type cutStorage struct {
	*memoryStorage
	cut *atomic.Bool
}

func (c cutStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if c.cut.Load() {
		return nil, errDown
	}
	return c.memoryStorage.Load(ctx, key)
}

func (c cutStorage) Store(ctx context.Context, key string, value []byte) error {
	if c.cut.Load() {
		return errDown
	}
	return c.memoryStorage.Store(ctx, key, value)
}

func (c cutStorage) Delete(ctx context.Context, key string) error {
	if c.cut.Load() {
		return errDown
	}
	return c.memoryStorage.Delete(ctx, key)
}

func (c cutStorage) List(ctx context.Context, key string, recursive bool) ([]string, error) {
	if c.cut.Load() {
		return nil, errDown
	}
	return c.memoryStorage.List(ctx, key, recursive)
}

// An abandoned claim stays until something newer is stored: its owner may be saving.
func TestAnOutageUnderAClaimKeepsTheAbandonedOneThatItHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var cut atomic.Bool
		storage.breaks(func(operation, key string) error {
			if operation == "store" && strings.Contains(key, "/"+generationPrefix) {
				// The first one loses the storage as it saves.
				cut.Store(true)
				return errDown
			}
			return nil
		})
		first, _ := instance(cutStorage{storage, &cut}, server)
		fetchFor(t, first, waiting)
		storage.breaks(nil)

		second, _ := instance(storage, server)
		server.answers = func(url.Values) (int, string) { return http.StatusServiceUnavailable, "" }
		if got := fetchFor(t, second, waiting); got != CodeUnavailable || storage.names() != "a claim" {
			t.Errorf("got %s; the storage has %s", got, storage.names())
		}
		// In a grace period the server takes the old one again.
		server.answers, server.current = nil, "r"
		if got := fetchFor(t, second, waiting); got != "a2" || storage.names() != "gen-00000002" {
			t.Errorf("got %s; the storage has %s, want a number that the first one does not have in mind", got, storage.names())
		}
		cut.Store(false)
		time.Sleep(2 * saveDelayLimit)
		synctest.Wait()
		if got := storage.names(); got != "gen-00000002" {
			t.Errorf("the storage has %s", got)
		}
	})
}

func TestOnlyAStoreThatIsRefusedSaysThatTheStorageIsReadOnly(t *testing.T) {
	storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
	first, _ := instance(storage, server)
	token, err := first.Fetch(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	storage.breaks(func(operation, _ string) error {
		if operation == "list" {
			if lists++; lists == 2 {
				return fs.ErrPermission
			}
		}
		return nil
	})
	second, _ := instance(storage, server)
	if got := fetchFor(t, second, Want{InHand: &token, Waiting: true}); got != CodeStorageUnavailable || server.used() != "r" {
		t.Errorf("got %s; sent %s", got, server.used())
	}
}

// Whoever can write to the storage, and does not know the refresh token, cannot say
// that it has ended.
func TestAForgedEndIsIgnored(t *testing.T) {
	for _, name := range []string{endedName(0), endedName(99999999), "ended-9223372036854775807"} {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		custody, _, _ := c.custody(t.Context())
		_ = storage.Store(t.Context(), custody.claims.folder+"/"+name, []byte("forged"))
		if got := fetchFor(t, c, waiting); got != "a2" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestTheEndOfTheProcessSavesWhateverElseIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		var stores []time.Time
		storage.breaks(refusesRecords(&stores))
		c, _ := instance(storage, server)
		fetchFor(t, c, waiting)
		var ends []func()
		for _, other := range []string{"a", "b", "c", "d", "e"} {
			busy, _ := c.Storage.custody(NewSecret(other))
			end, _ := busy.begin(t.Context())
			ends = append(ends, end)
		}
		storage.breaks(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Storage.Flush(ctx)
		if got := storage.names(); got != "gen-00000001" {
			t.Errorf("the storage has %s", got)
		}
		for _, end := range ends {
			end()
		}
		time.Sleep(saveDelayLimit)
	})
}

// Where the refresh token is in the URL, it leaves with the first byte.
func TestALateRequestWithoutABodyFindsItsConnectionClosed(t *testing.T) {
	c := testClient(nil)
	c.Encoding = EncodingQuery
	p, err := c.prepare(t.Context(), GrantRefreshToken, NewSecret("r"))
	if err != nil {
		t.Fatal(err)
	}
	sending := watchSending(p, func() bool { return true })
	connection := &closedConn{}
	httptrace.ContextClientTrace(p.request.Context()).GotConn(httptrace.GotConnInfo{Conn: connection})
	if !connection.closed || sending.began(fs.ErrClosed) {
		t.Errorf("closed: %v, began: %v", connection.closed, sending.began(fs.ErrClosed))
	}
}

type closedConn struct {
	net.Conn
	closed bool
}

func (c *closedConn) Close() error {
	c.closed = true
	return nil
}

// More than is read may hold a new refresh token.
func TestAnAnswerThatIsTooLongMayHaveUsedTheRefreshTokenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, server := &memoryStorage{}, &rotatingServer{current: "r"}
		c, _ := instance(storage, server)
		server.answers = func(url.Values) (int, string) {
			return http.StatusOK, `{"access_token":"a","refresh_token":"r2","x":"` + strings.Repeat("x", answerLimit) + `"}`
		}
		if got := fetchFor(t, c, waiting); got != CodeInvalidResponse || storage.names() != "a claim" {
			t.Errorf("got %s; the storage has %s", got, storage.names())
		}
		if status, _ := c.RefreshTokenStatus(t.Context()); status.State != RefreshTokenUncertain {
			t.Errorf("the state is %s", status.State)
		}
	})
}
