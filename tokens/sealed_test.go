package tokens

import (
	"bytes"
	"strings"
	"testing"
)

func identity(t *testing.T, kind, secret, about string) Identity {
	t.Helper()
	i, err := NewIdentity(kind, NewSecret(secret), about)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAnIdentityIsContent(t *testing.T) {
	one := identity(t, "refresh_token", "a refresh token", "")
	if again := identity(t, "refresh_token", "a refresh token", ""); again.ID() != one.ID() || !bytes.Equal(again.key, one.key) {
		t.Error("the same secret gives another identity")
	}
	for name, other := range map[string]Identity{
		"another secret":        identity(t, "refresh_token", "another refresh token", ""),
		"another use":           identity(t, "access_tokens", "a refresh token", ""),
		"other values about it": identity(t, "refresh_token", "a refresh token", "scope"),
	} {
		if other.ID() == one.ID() || bytes.Equal(other.key, one.key) {
			t.Errorf("%s gives the same identity", name)
		}
	}
	if len(one.ID()) != 32 || bytes.Contains(one.key, []byte(one.ID())) || strings.Contains(one.ID(), "refresh") {
		t.Errorf("the name is %s", one.ID())
	}
}

func TestASealedRecordIsReadByWhoHasTheSecretOnly(t *testing.T) {
	one := identity(t, "refresh_token", "a refresh token", "")
	record := storedToken{Token: "an access token"}
	sealed, err := one.seal("folder/key", record)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("access token")) {
		t.Error("the record shows what it holds")
	}
	if again, _ := one.seal("folder/key", record); bytes.Equal(again, sealed) {
		t.Error("two records of the same content are the same bytes")
	}
	var read storedToken
	if err := one.open("folder/key", sealed, &read); err != nil || read.Token != record.Token {
		t.Errorf("got %v, %v", read, err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)/2] ^= 1
	for name, open := range map[string]func() error{
		"another secret":  func() error { return identity(t, "refresh_token", "x", "").open("folder/key", sealed, &read) },
		"another key":     func() error { return one.open("folder/other", sealed, &read) },
		"a torn record":   func() error { return one.open("folder/key", sealed[:len(sealed)/2], &read) },
		"an empty record": func() error { return one.open("folder/key", nil, &read) },
		"a changed byte":  func() error { return one.open("folder/key", flipped, &read) },
		"a newer version": func() error {
			return one.open("folder/key", bytes.Replace(sealed, []byte(`"v":1`), []byte(`"v":2`), 1), &read)
		},
		"a record in clear": func() error { return one.open("folder/key", []byte(`{"token":"t"}`), &read) },
	} {
		if err := open(); err == nil {
			t.Errorf("%s opens the record", name)
		}
	}
}
