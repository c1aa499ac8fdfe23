package tokens

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const claimKey, recordKey = "f/claim-1", "f/gen-00000001"

// Each fault of the simulated storage shows what it is made for.
func TestTheSimulatedStorageFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		world custodyWorld
		check func(t *testing.T, s *simulation, own, others storageView)
	}{
		{"it keeps what it is given, after its latency", custodyWorld{
			storage: storageFaults{minLatency: time.Second, maxLatency: time.Second},
		}, func(t *testing.T, _ *simulation, own, others storageView) {
			start := time.Now()
			wantStored(t, own, true)
			if took := time.Since(start); took != time.Second {
				t.Errorf("it took %v", took)
			}
			wantShown(t, others, "claim-1", nil)
			if err := others.Delete(t.Context(), claimKey); err != nil {
				t.Error(err)
			}
			wantShown(t, own, "", fs.ErrNotExist)
		}},
		{"an operation ends with its context", custodyWorld{
			storage: storageFaults{minLatency: time.Hour, maxLatency: time.Hour},
		}, func(t *testing.T, s *simulation, own, _ storageView) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := own.Store(ctx, claimKey, nil); !errors.Is(err, context.DeadlineExceeded) || len(s.storage.listed) != 0 {
				t.Errorf("got %v", err)
			}
		}},
		{"half of the writes that fail have taken effect", custodyWorld{storage: storageFaults{errors: 1}}, func(t *testing.T, s *simulation, own, _ storageView) {
			landed := 0
			for range 100 {
				s.do(func() { s.storage.empty() })
				wantStored(t, own, false)
				landed += len(s.storage.values)
			}
			if landed < 30 || landed > 70 {
				t.Errorf("%d of 100 have", landed)
			}
		}},
		{"a record is stored at the fourth time at the latest", custodyWorld{storage: storageFaults{lateWrites: 1}}, func(t *testing.T, _ *simulation, own, _ storageView) {
			for try := range 8 {
				if err := own.Store(t.Context(), recordKey, nil); (err == nil) != (try%4 == 3) {
					t.Errorf("try %d: %v", try, err)
				}
			}
		}},
		{"an error looks empty", custodyWorld{storage: storageFaults{errors: 1, looksEmpty: true}}, func(t *testing.T, s *simulation, own, _ storageView) {
			s.do(func() { own.put(claimKey, nil, nil) })
			wantShown(t, own, "", nil)
			if _, err := own.Load(t.Context(), claimKey); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
			wantStored(t, own, false)
		}},
		{"a write fails and lands late", custodyWorld{storage: storageFaults{lateWrites: 1}}, func(t *testing.T, _ *simulation, own, _ storageView) {
			wantStored(t, own, false)
			wantShown(t, own, "", fs.ErrNotExist)
			time.Sleep(time.Minute)
			wantShown(t, own, "claim-1", nil)
		}},
		{"what the dead have begun does not land", custodyWorld{storage: storageFaults{lateWrites: 1}}, func(t *testing.T, s *simulation, own, others storageView) {
			wantStored(t, own, false)
			s.do(func() { own.dies(1) })
			wantStored(t, own, true)
			time.Sleep(time.Minute)
			wantShown(t, others, "", fs.ErrNotExist)
			wantShown(t, own, "", errDead)
		}},
		{"there are names that are digits", custodyWorld{storage: storageFaults{temporaryFiles: true}}, func(t *testing.T, _ *simulation, own, _ storageView) {
			wantShown(t, own, "1804289383 846930886", nil)
		}},
		{"a list breaks off, shows the own claim and hides another", custodyWorld{
			storage: storageFaults{brokenLists: 1, brokenBy: fs.ErrNotExist},
		}, func(t *testing.T, s *simulation, own, others storageView) {
			s.do(func() { own.put("f/claim-2", nil, nil); others.put("f/claim-1", nil, nil) })
			shown := map[string]bool{}
			for range 100 {
				names, err := namesOf(t, own)
				shown[names] = true
				if !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("got %v", err)
				}
			}
			if !shown["claim-2"] || !shown["claim-1"] || !shown[""] {
				t.Errorf("it shows %v", shown)
			}
		}},
		{"a key is listed before it can be loaded", custodyWorld{
			storage: storageFaults{listedFirst: true, minLatency: 2 * time.Second, maxLatency: 2 * time.Second},
		}, func(t *testing.T, s *simulation, own, others storageView) {
			var stored sync.WaitGroup
			stored.Go(func() { wantStored(t, own, true) })
			time.Sleep(time.Millisecond)
			s.do(func() {
				if _, loadable := s.storage.values[claimKey]; loadable || !s.storage.listed[claimKey] {
					t.Errorf("loadable: %t, keys: %v", loadable, s.storage.listed)
				}
			})
			stored.Wait()
			wantShown(t, others, "claim-1", nil)
			if _, err := others.Load(t.Context(), claimKey); err != nil {
				t.Error(err)
			}
		}},
		{"a record is listed and never written", custodyWorld{
			storage: storageFaults{listedFirst: true, killsWhileListed: 1},
		}, func(t *testing.T, _ *simulation, own, others storageView) {
			if err := own.Store(t.Context(), recordKey, nil); err != nil || own.alive {
				t.Errorf("got %v", err)
			}
			wantShown(t, others, "gen-00000001", nil)
			if _, err := others.Load(t.Context(), recordKey); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		}},
		{"it is set back", custodyWorld{}, func(t *testing.T, s *simulation, own, _ storageView) {
			s.do(s.storage.setBack)
			wantStored(t, own, true)
			s.do(s.storage.setBack)
			wantShown(t, own, "", fs.ErrNotExist)
			s.do(s.storage.setBack)
			wantShown(t, own, "claim-1", nil)
		}},
		{"one generation of two answers is a breach", custodyWorld{}, func(t *testing.T, s *simulation, own, others storageView) {
			first := &rotation{by: own.simulatedInstance}
			s.do(func() {
				own.put(recordKey, nil, first)
				own.put(recordKey, nil, first)
				others.put(recordKey, nil, nil)
			})
			if len(s.breaches) != 0 || !first.saved {
				t.Errorf("found %q, saved: %t", s.breaches, first.saved)
			}
			s.do(func() { others.put(recordKey, nil, &rotation{by: others.simulatedInstance}) })
			if len(s.breaches) != 1 {
				t.Errorf("found %q", s.breaches)
			}
		}},
		{"an older generation that is stored again is a breach", custodyWorld{}, func(t *testing.T, s *simulation, own, _ storageView) {
			s.do(func() {
				own.put("f/gen-00000002", nil, nil)
				own.put(recordKey, nil, &rotation{by: own.simulatedInstance})
			})
			if len(s.breaches) != 0 {
				t.Errorf("found %q", s.breaches)
			}
			if err := own.Store(t.Context(), recordKey, nil); err != nil || len(s.breaches) != 1 {
				t.Errorf("found %q", s.breaches)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, own, others := still(test.world)
				test.check(t, s, storageView{own}, storageView{others})
			})
		})
	}
}

func TestAnOutageOfTheSimulatedStorage(t *testing.T) {
	long := []time.Duration{time.Minute}
	for _, test := range []struct {
		name                   string
		outages                outages
		read, write, ofAnother error
	}{
		{"fails everything", outages{kind: everythingFails, lengths: long}, errOutage, errOutage, errOutage},
		{"fails writes", outages{kind: writesFail, lengths: long}, nil, errOutage, errOutage},
		{"cuts one off", outages{kind: oneIsCutOff, lengths: long}, errOutage, errOutage, nil},
		{
			"never answers",
			outages{kind: everythingFails, lengths: long, hangs: true},
			context.DeadlineExceeded, context.DeadlineExceeded, context.DeadlineExceeded,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, own, others := still(custodyWorld{outages: test.outages})
				got := func() (read, write, ofAnother error) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, read = storageView{own}.Load(ctx, claimKey)
					return read, storageView{own}.Store(ctx, claimKey, nil), storageView{others}.Store(ctx, "f/claim-2", nil)
				}
				s.do(func() {
					s.mayBreak(own, 1)
					storageView{own}.put(claimKey, nil, nil)
				})
				read, write, ofAnother := got()
				if !errors.Is(read, test.read) || !errors.Is(write, test.write) || !errors.Is(ofAnother, test.ofAnother) {
					t.Errorf("got %v, %v, %v", read, write, ofAnother)
				}
				time.Sleep(time.Minute)
				if read, write, ofAnother = got(); read != nil || write != nil || ofAnother != nil {
					t.Errorf("after it: %v, %v, %v", read, write, ofAnother)
				}
			})
		})
	}
}

func wantStored(t *testing.T, v storageView, want bool) {
	t.Helper()
	if err := v.Store(t.Context(), claimKey, []byte("claim")); (err == nil) != want {
		t.Errorf("the store gave %v", err)
	}
}

func wantShown(t *testing.T, v storageView, want string, wantErr error) {
	t.Helper()
	if names, err := namesOf(t, v); names != want || !errors.Is(err, wantErr) {
		t.Errorf("it shows %q, %v, want %q, %v", names, err, want, wantErr)
	}
}

func namesOf(t *testing.T, v storageView) (string, error) {
	keys, err := v.List(t.Context(), "f", true)
	for i, key := range keys {
		keys[i] = path.Base(key)
	}
	return strings.Join(keys, " "), err
}
