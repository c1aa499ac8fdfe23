package config

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond, "1.5h": 90 * time.Minute, "1ns": 1, "+1s": time.Second,
	} {
		var d Duration
		var r RefreshBefore
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %s, %v", text, time.Duration(d), err)
		}
		if err := r.UnmarshalText([]byte(text)); err != nil || time.Duration(r) != want {
			t.Errorf("%s: got %s, %v", text, time.Duration(r), err)
		}
	}
}

func TestWhatIsNoDurationIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"G13 nothing": "", "G13 zero": "0", "G13 zero seconds": "0s", "G13 negative": "-1s", "G13 a word": "CANARY", "G13 a number": "10",
		"G13 overflow": "9999999999h", "G13 an unknown unit": "1CANARY", "G13 a day": "1d", "a space": " 1s", "AUTO in capitals": "AUTO",
	} {
		t.Run(name, func(t *testing.T) {
			d, r := Duration(7), RefreshBefore(7)
			errD, errR := d.UnmarshalText([]byte(text)), r.UnmarshalText([]byte(text))
			if errD == nil || errR == nil {
				t.Fatal("it is accepted")
			}
			if d != 7 || r != 7 {
				t.Errorf("what is wrong has changed the duration to %d, %d", d, r)
			}
			wantNoCanary(t, errD)
			wantNoCanary(t, errR)
		})
	}
	if err := new(Duration).UnmarshalText([]byte("auto")); err == nil {
		t.Error("auto is a duration")
	}
}

func TestDurationsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"auto", "1m30s", "500ms"} {
		r := RefreshBefore(7)
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := r.MarshalText(); err != nil || string(got) != text {
			t.Errorf("got %s, %v, want %s", got, err, text)
		}
	}
}
