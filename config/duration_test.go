package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "500ms": 500 * time.Millisecond, "1.5h": 90 * time.Minute, "1ms": time.Millisecond, "+1s": time.Second,
		"1d": 24 * time.Hour, "1.5d": 36 * time.Hour, ".5d": 12 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute, "1h1d": 25 * time.Hour,
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
		"nothing": "", "zero": "0", "zero seconds": "0s", "negative": "-1s", "a nanosecond": "1ns", "just under a millisecond": "999.999us", "a word": "CANARY", "a number": "10",
		"overflow": "9999999999h", "an unknown unit": "1CANARY", "a day without a number": "d", "too many days": "9999999d", "a week": "1w", "a space": " 1s", "AUTO in capitals": "AUTO",
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
			for _, err := range []error{errD, errR} {
				wantNoCanary(t, err)
				if !strings.Contains(err.Error(), "at least 1ms") {
					t.Errorf("the error %q does not say what it must be", err)
				}
			}
		})
	}
	if err := new(Duration).UnmarshalText([]byte("auto")); err == nil {
		t.Error("auto is a duration")
	}
}

// Caddy reads a bare number as nanoseconds, other programs as seconds: no field
// may take one.
func TestANumberWithoutAUnitIsRefusedInEveryField(t *testing.T) {
	fields := durationFields(reflect.TypeFor[Provider](), "")
	if len(fields) < 6 {
		t.Fatalf("only %v are durations", fields)
	}
	for _, field := range fields {
		for _, number := range []string{"15", "0", "1e9", "-1"} {
			t.Run(field+" of "+number, func(t *testing.T) {
				member := fmt.Sprintf(`"%s":%s`, field, number)
				if block, name, within := strings.Cut(field, "."); within {
					member = fmt.Sprintf(`"%s":{"%s":%s}`, block, name, number)
				}
				for _, decode := range []func(string) error{
					func(fields string) error { _, err := native(t, fields); return err },
					func(fields string) error { _, err := parse(fileWith(fields)); return err },
				} {
					wantError(t, decode(member), field, `must be a string, not a number; write a duration such as "10s"`)
				}
			})
		}
	}
}

// durationFields are the paths of the fields that are durations.
func durationFields(of reflect.Type, path string) []string {
	var found []string
	for _, field := range fieldsOf(of) {
		within := join(path, field.name)
		switch {
		case field.of == reflect.TypeFor[Duration](), field.of == reflect.TypeFor[RefreshBefore](), field.of == reflect.TypeFor[*Skew]():
			found = append(found, within)
		case field.of.Kind() == reflect.Struct:
			found = append(found, durationFields(field.of, within)...)
		}
	}
	return found
}

func TestASkewIsADurationOrZero(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "0h0m": 0, "0d": 0, "1d": 24 * time.Hour, "1ms": time.Millisecond, "1m30s": 90 * time.Second} {
		s := Skew(7)
		if err := s.UnmarshalText([]byte(text)); err != nil || time.Duration(s) != want {
			t.Errorf("%s: got %v, %v", text, time.Duration(s), err)
		}
	}
	for _, text := range []string{"", "-1s", "1ns", "10", "CANARY"} {
		s := Skew(7)
		err := s.UnmarshalText([]byte(text))
		if err == nil || s != 7 || !strings.Contains(err.Error(), `must be 0, or a duration of at least 1ms`) {
			t.Errorf("%q: got %v, %v", text, time.Duration(s), err)
		}
		wantNoCanary(t, err)
	}
}

// A skew of zero is another thing than none, which is the default.
func TestASkewOfZeroIsWrittenAndReadAgain(t *testing.T) {
	for written, want := range map[string]string{`{"iat_skew":"0"}`: `{"iat_skew":"0s"}`, `{"iat_skew":"1m"}`: `{"iat_skew":"1m0s"}`, `{}`: `{}`} {
		var j JWT
		if err := json.Unmarshal([]byte(written), &j); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(j); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", written, got, err, want)
		}
	}
}

func TestADurationThatCaddyHasReadIsChecked(t *testing.T) {
	for d, good := range map[time.Duration]bool{
		time.Millisecond: true, 15 * time.Second: true, 15: false, 0: false, -time.Second: false, time.Millisecond - 1: false,
	} {
		if err := CheckDuration(d); (err == nil) != good {
			t.Errorf("%d ns: %v", d, err)
		} else if err != nil && !strings.Contains(err.Error(), `such as "15s"`) {
			t.Errorf("the error %q does not say what to write", err)
		}
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
