package fleet

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestANumberIsFoundInAProfile(t *testing.T) {
	for text, want := range map[string]int64{
		"goroutine profile: total 42\n1 @ 0x1\n": 42,
		"heap\n# HeapInuse = 123456\n":           123456,
	} {
		before := "goroutine profile: total "
		if strings.HasPrefix(text, "heap") {
			before = "# HeapInuse = "
		}
		if got, err := numberAfter(strings.NewReader(text), before); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if _, err := numberAfter(strings.NewReader("nothing\n"), "total "); err == nil {
		t.Error("a profile without the number is an error")
	}
}

func TestTheSlopeOfValues(t *testing.T) {
	for name, test := range map[string]struct {
		values []float64
		want   float64
	}{
		"that grow":             {[]float64{10, 12, 14, 16}, 2},
		"that stay":             {[]float64{5, 5, 5}, 0},
		"that go up and down":   {[]float64{1, 3, 1, 3, 1}, 0},
		"of which one is there": {[]float64{7}, 0},
	} {
		if got := Slope(test.values); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("values %s: %v, want %v", name, got, test.want)
		}
	}
}

func TestAResultSaysWhatFailedAndHow(t *testing.T) {
	l := &Load{result: Result{Failed: map[string]int{}}}
	for _, outcome := range []string{"200", "503 token_storage_unavailable", "", "200", "502 invalid_grant", "502 invalid_grant"} {
		l.note(outcome, time.Second)
	}
	const want = "3 of 5 failed, 2× 502 invalid_grant, 1× 503 token_storage_unavailable; 1 not answered, slowest 1s"
	if got := l.Result().String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestTheCodeOfAnAnswer(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"m","code":"invalid_grant"}}`: "invalid_grant",
		`{"error":{"message":"m"}}`:                        "without a code",
		`<html>`:                                           "without a code",
	} {
		if got := code(strings.NewReader(body)); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}
