package oauth2llm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"testing"
)

func TestTheKeyCommandPrintsAKeyAndItsHash(t *testing.T) {
	command := keyCommand()
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetArgs(nil)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^key:  (gw-\S+)\nhash: (sha256:\S+)\n$`).FindStringSubmatch(out.String())
	if match == nil {
		t.Fatalf("got %s", out.String())
	}
	digest := sha256.Sum256([]byte(match[1]))
	if want := "sha256:" + hex.EncodeToString(digest[:]); match[2] != want {
		t.Errorf("the hash is %s, want %s", match[2], want)
	}
	command.SetArgs([]string{"argument"})
	command.SetErr(&bytes.Buffer{})
	if err := command.Execute(); err == nil {
		t.Error("an argument is accepted")
	}
}
