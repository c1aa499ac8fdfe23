package clientkey

import "testing"

func TestAGeneratedKeyIsKnownByItsHash(t *testing.T) {
	key, hash := Generate()
	if other, _ := Generate(); other == key || len(key) != len("gw-")+43 {
		t.Errorf("got %q and %q", key, other)
	}
	keys := keysOf(t, "agents", hash)
	if client := keys.identify(key); client == nil || client.Name != "agents" {
		t.Errorf("the key is %+v's", client)
	}
	if client := keys.identify(hash); client != nil {
		t.Error("the hash is taken for the key")
	}
}
