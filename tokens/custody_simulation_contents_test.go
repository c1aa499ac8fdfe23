package tokens

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// keys lists a folder as it stands, or as the faults show it.
func (v storageView) keys(folder string) ([]string, error) {
	keys := v.s.storage.keys(folder)
	faults := v.s.world.storage
	if !v.s.chance(v.random, faults.brokenLists) {
		if faults.temporaryFiles {
			keys = append(keys, folder+"/1804289383", folder+"/846930886")
		}
		if len(keys) == 0 {
			return nil, fs.ErrNotExist
		}
		return keys, nil
	}
	if v.random.IntN(2) == 0 {
		return keys[:v.random.IntN(len(keys)+1)], faults.brokenBy
	}
	return slices.DeleteFunc(keys, func(key string) bool { return !v.own[key] && v.random.IntN(2) == 0 }), faults.brokenBy
}

func (st *simulatedStorage) keys(folder string) []string {
	var keys []string
	for key := range st.listed {
		if strings.HasPrefix(key, folder+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (st *simulatedStorage) names(folder string) []string {
	keys := st.keys(folder)
	for i, key := range keys {
		keys[i] = path.Base(key)
	}
	return keys
}

// empty and setBack are what loses an operator's data.
func (st *simulatedStorage) empty() { st.become(nil) }

func (st *simulatedStorage) setBack() {
	now := maps.Clone(st.values)
	st.become(st.earlier)
	st.earlier = now
}

func (st *simulatedStorage) become(values map[string][]byte) {
	st.values, st.listed = make(map[string][]byte), make(map[string]bool)
	st.records = make(map[string]*rotation)
	for key, value := range values {
		st.values[key], st.listed[key] = value, true
	}
}

// lose changes what is stored, every few minutes.
func (s *simulation) lose() {
	for !s.ended() {
		time.Sleep(between(s.random, 10*time.Second, 2*time.Minute))
		s.do(func() {
			if !s.healed {
				s.world.storage.loses(s.storage)
				s.note("", "lose", "", "", nil)
			}
		})
	}
}
