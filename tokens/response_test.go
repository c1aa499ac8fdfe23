package tokens

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzTokenAnswer: whatever a token endpoint answers, a token that comes out
// can be sent in a header and ends, and an error shows nothing of the answer.
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		goodAnswer, `{"access_token":"t","expires_in":"1e9","token_type":"bearer"}`, `access_token=t&expires_in=5`,
		`{"error":"invalid_client","error_description":"x"}`, `{`, ``, `[]`, `{"access_token":1}`, jwt(`{"exp":1}`),
	} {
		f.Add(200, "application/json", "", []byte(body))
		f.Add(400, "text/plain", "7", []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, contentType, retry string, body []byte) {
		e := &exchange{status: status, body: string(body), header: http.Header{"Content-Type": {contentType}, "Retry-After": {retry}}}
		token, err := testClient(e).Fetch(t.Context(), Want{})
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("the error holds control characters: %q", text)
			}
			wantNoCanary(t, err.Error(), canary)
			return
		}
		value := token.Value.Reveal()
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("token %q", value)
		}
		if token.Lifetime <= 0 || token.Lifetime > MaxTTL || token.RefreshIn < 0 || token.RefreshIn > MaxTTL {
			t.Errorf("lifetime %v, refresh in %v", token.Lifetime, token.RefreshIn)
		}
		if fresh := token.freshTime(0, 1); fresh < 0 || fresh > token.Lifetime {
			t.Errorf("fresh for %v of %v", fresh, token.Lifetime)
		}
		if token.freshTime(time.Hour, 0) < 0 {
			t.Error("a negative time")
		}
	})
}
