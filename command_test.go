package oauth2llm

import (
	"bytes"
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
	digest, err := keyDigest(match[2])
	if want, _ := keyDigest(match[1]); err != nil || digest != want {
		t.Errorf("the hash is not that of the key: %v", err)
	}
	command.SetArgs([]string{"argument"})
	command.SetErr(&bytes.Buffer{})
	if err := command.Execute(); err == nil {
		t.Error("an argument is accepted")
	}
}
