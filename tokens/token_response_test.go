package tokens

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidwall/gjson"
)

func TestEveryUnitInEveryForm(t *testing.T) {
	// 1900000000 since 1970.
	start := time.Date(2030, 3, 17, 17, 46, 40, 0, time.UTC)
	const (
		negative = "must be a number above 0"
		past     = "is in the past"
		anHour   = time.Hour
		// unsaid stands for a value that does not say when the token ends.
		unsaid = -1
	)
	for _, test := range []struct {
		unit  ExpiryUnit
		value string
		want  time.Duration
		says  string
	}{
		{ExpirySeconds, `3600`, anHour, ""},
		{ExpirySeconds, `"3600"`, anHour, ""},
		{ExpirySeconds, `" 3600 "`, anHour, ""},
		{ExpirySeconds, `3600.0`, anHour, ""},
		{ExpirySeconds, `"3600.0"`, anHour, ""},
		{ExpirySeconds, `3.6e3`, anHour, ""},
		{ExpirySeconds, `1.5`, 1500 * time.Millisecond, ""},
		{ExpirySeconds, `1900003600`, 1900003600 * time.Second, ""},
		{ExpirySeconds, `1e400`, longest, ""},
		{ExpirySeconds, `"1e400"`, longest, ""},
		{ExpirySeconds, `0`, unsaid, ""},
		{ExpirySeconds, `"0"`, unsaid, ""},
		{ExpirySeconds, `-1`, 0, negative},
		{ExpirySeconds, `-1e400`, 0, negative},
		{ExpirySeconds, `1e-12`, unsaid, ""},
		{ExpirySeconds, `"NaN"`, unsaid, ""},
		{ExpirySeconds, `"soon"`, unsaid, ""},
		{ExpirySeconds, `true`, unsaid, ""},
		{ExpirySeconds, `{}`, unsaid, ""},
		{ExpirySeconds, `[]`, unsaid, ""},
		{ExpirySeconds, `0.0`, unsaid, ""},
		{ExpirySeconds, `[3600]`, unsaid, ""},
		{ExpirySeconds, `{"a":3600}`, unsaid, ""},
		{ExpirySeconds, `"2030-03-17T18:46:40Z"`, unsaid, ""},

		{ExpiryUnix, `1900003600`, anHour, ""},
		{ExpiryUnix, `"1900003600"`, anHour, ""},
		{ExpiryUnix, `1900003600.0`, anHour, ""},
		{ExpiryUnix, `1.9000036e9`, anHour, ""},
		{ExpiryUnix, `1900000000.5`, 500 * time.Millisecond, ""},
		{ExpiryUnix, `1900003600000`, longest, ""},
		{ExpiryUnix, `1900000000`, 0, past},
		{ExpiryUnix, `1899999999`, 0, past},
		{ExpiryUnix, `3600`, 0, past},
		{ExpiryUnix, `0`, unsaid, ""},
		{ExpiryUnix, `true`, unsaid, ""},
		{ExpiryUnix, `{}`, unsaid, ""},
		{ExpiryUnix, `[]`, unsaid, ""},
		{ExpiryUnix, `"soon"`, unsaid, ""},
		{ExpiryUnix, `-1e400`, 0, negative},
		{ExpiryUnix, `"2030-03-17T18:46:40Z"`, unsaid, ""},

		{ExpiryUnixMS, `1900003600000`, anHour, ""},
		{ExpiryUnixMS, `"1900003600000"`, anHour, ""},
		{ExpiryUnixMS, `1900003600000.0`, anHour, ""},
		{ExpiryUnixMS, `1900000000001`, time.Millisecond, ""},
		{ExpiryUnixMS, `1900003600`, 0, past},
		{ExpiryUnixMS, `0`, unsaid, ""},
		{ExpiryUnixMS, `false`, unsaid, ""},
		{ExpiryUnixMS, `{}`, unsaid, ""},
		{ExpiryUnixMS, `"soon"`, unsaid, ""},
		{ExpiryUnixMS, `-1`, 0, negative},

		{ExpiryRFC3339, `"2030-03-17T18:46:40Z"`, anHour, ""},
		{ExpiryRFC3339, `" 2030-03-17T18:46:40Z\n"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17T20:46:40+02:00"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17T10:16:40-08:30"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17T18:46:40.123456789Z"`, anHour + 123456789, ""},
		{ExpiryRFC3339, `"2030-03-17T18:46:40.5+00:00"`, anHour + 500*time.Millisecond, ""},
		{ExpiryRFC3339, `"2030-03-17 18:46:40"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17 18:46:40.25"`, anHour + 250*time.Millisecond, ""},
		{ExpiryRFC3339, `"2030-03-17 18:46:40Z"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17 20:46:40+02:00"`, anHour, ""},
		{ExpiryRFC3339, `"2030-03-17T18:46:40"`, anHour, ""},
		{ExpiryRFC3339, `"9999-12-31T23:59:59Z"`, 1<<63 - 1, ""},
		{ExpiryRFC3339, `"2030-03-17T17:46:40Z"`, 0, past},
		{ExpiryRFC3339, `"2030-03-17T18:46:40+02:00"`, 0, past},
		{ExpiryRFC3339, `"0001-01-01T00:00:00Z"`, 0, past},
		{ExpiryRFC3339, `"2030-03-17"`, unsaid, ""},
		{ExpiryRFC3339, `"2030-13-17T18:46:40Z"`, unsaid, ""},
		{ExpiryRFC3339, `"tomorrow"`, unsaid, ""},
		{ExpiryRFC3339, `1900003600`, unsaid, ""},
		{ExpiryRFC3339, `"1900003600"`, unsaid, ""},
		{ExpiryRFC3339, `{}`, unsaid, ""},
		{ExpiryRFC3339, `true`, unsaid, ""},
		{ExpiryRFC3339, `[]`, unsaid, ""},
		{ExpiryRFC3339, `0`, unsaid, ""},
		{ExpiryRFC3339, `-1`, 0, negative},

		{ExpiryAuto, `3600`, anHour, ""},
		{ExpiryAuto, `"3600"`, anHour, ""},
		{ExpiryAuto, `1900003600`, anHour, ""},
		{ExpiryAuto, `"1900003600"`, anHour, ""},
		{ExpiryAuto, `1900003600000`, anHour, ""},
		{ExpiryAuto, `"1900003600000"`, anHour, ""},
		{ExpiryAuto, `"2030-03-17T18:46:40Z"`, anHour, ""},
		{ExpiryAuto, `"2030-03-17 20:46:40.5+02:00"`, anHour + 500*time.Millisecond, ""},
		{ExpiryAuto, `999999999`, 999999999 * time.Second, ""},
		{ExpiryAuto, `1000000000`, 1000000000 * time.Second, ""},
		{ExpiryAuto, `1000000001`, 0, past},
		{ExpiryAuto, `100000000000`, longest, ""},
		{ExpiryAuto, `100000000001`, 0, past},
		{ExpiryAuto, `1e400`, longest, ""},
		{ExpiryAuto, `0`, unsaid, ""},
		{ExpiryAuto, `-3600`, 0, negative},
		{ExpiryAuto, `"soon"`, unsaid, ""},
		{ExpiryAuto, `true`, unsaid, ""},
		{ExpiryAuto, `[]`, unsaid, ""},
	} {
		t.Run(string(test.unit)+" "+test.value, func(t *testing.T) {
			got, said, err := test.unit.read(gjson.Parse(test.value), start)
			if test.says != "" {
				if err == nil || !contains(err.Error(), test.says) {
					t.Errorf("got %v, %v; want %q", got, err, test.says)
				}
				return
			}
			if said != (test.want != unsaid) {
				t.Errorf("it says when the token ends: %t, want %t", said, !said)
			}
			if !said {
				return
			}
			// A point in time is a float64 on its way: a microsecond is lost.
			if lost := (got - test.want).Abs(); err != nil || lost > time.Microsecond {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestTheUnitsAreListed(t *testing.T) {
	for _, unit := range ExpiryUnits() {
		if _, said, err := unit.read(gjson.Parse(`"x"`), time.Now()); said || err != nil {
			t.Errorf("%s takes a word: %v", unit, err)
		}
	}
	if got := len(ExpiryUnits()); got != 5 {
		t.Errorf("there are %d units", got)
	}
}

func TestTheFirstPlaceThatHoldsSomethingHasTheToken(t *testing.T) {
	for _, test := range []struct {
		name   string
		places []string
		header http.Header
		body   string
		want   string
		says   string
	}{
		{"the standard place", nil, nil, `{"access_token":"t1","tok":"t2"}`, "t1", ""},
		{"the first of two", []string{"a", "b"}, nil, `{"b":"t2","a":"t1"}`, "t1", ""},
		{"the second, as the first is missing", []string{"a", "b"}, nil, `{"b":"t2","access_token":"t0"}`, "t2", ""},
		{"the second, as the first is null", []string{"a", "b"}, nil, `{"a":null,"b":"t2"}`, "t2", ""},
		{"the second, as the first is empty", []string{"a", "b"}, nil, `{"a":"","b":"t2"}`, "t2", ""},
		{"a path", []string{"data.tokens.0.value"}, nil, `{"data":{"tokens":[{"value":"t1"}]}}`, "t1", ""},
		{"a header", []string{"header:X-Subject-Token"}, http.Header{"X-Subject-Token": {"t1"}}, `{"token":{"expires_at":"x"}}`, "t1", ""},
		{"a header beside an answer without a body", []string{"header:X-Subject-Token"}, http.Header{"X-Subject-Token": {"t1"}}, ``, "t1", ""},
		{"a header behind a path", []string{"a", "header:X-Token"}, http.Header{"X-Token": {"t1"}}, `{"a":""}`, "t1", ""},
		{"a form with another name", []string{"tok"}, http.Header{"Content-Type": {formType}}, `tok=t1&expires_in=60`, "t1", ""},
		{"a form labelled text/plain", []string{"a", "tok"}, http.Header{"Content-Type": {"text/plain"}}, `tok=t1`, "t1", ""},
		{"none of the places", []string{"a", "header:X-B"}, nil, `{"access_token":"t0"}`, "", "the answer holds no a or header:X-B (application/json)"},
		{"an object", []string{"a", "b"}, nil, `{"a":{"x":1},"b":"t2"}`, "", "the token must be a string"},
		{"a header that a request may not carry", []string{"header:X-Token"}, http.Header{"X-Token": {"two words"}}, ``, "", "a header may not carry"},
		{"an error in a 200 answer", []string{"tok"}, nil, `{"error":"invalid_scope","tok":"t1"}`, "", "invalid_scope"},
		{"another type of token", []string{"tok"}, nil, `{"tok":"t1","token_type":"DPoP"}`, "", "token_type is not Bearer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient(&exchange{body: test.body, header: test.header})
			c.Response.Token = test.places
			token, err := c.Fetch(t.Context(), Want{})
			if test.says != "" {
				if err == nil || !contains(err.Error(), test.says) {
					t.Errorf("got %v, want %q in it", err, test.says)
				}
				return
			}
			if err != nil || token.Value.Reveal() != test.want {
				t.Errorf("got %q, %v; want %q", token.Value.Reveal(), err, test.want)
			}
		})
	}
}

// A server that echoes the token in an error must not put it into a log, wherever
// the token is.
func TestATokenInAnyPlaceIsHidden(t *testing.T) {
	for _, place := range []string{"data.tok", "header:X-Token"} {
		c := testClient(&exchange{
			status: 400, body: `{"error":"invalid_grant","error_description":"not tok canary","data":{"tok":"tok canary"}}`,
			header: http.Header{"Content-Type": {"application/json"}, "X-Token": {"tok canary"}},
		})
		c.Response.Token = []string{place}
		if _, err := c.Fetch(t.Context(), Want{}); err == nil || contains(err.Error(), "tok canary") || !contains(err.Error(), "not [redacted]") {
			t.Errorf("%s: got %v", place, err)
		}
	}
}

func TestTheFirstRuleThatHoldsSomethingSaysWhenTheTokenEnds(t *testing.T) {
	// A bubble begins at 946684800.
	var (
		standard []ExpiryRule
		two      = []ExpiryRule{{"expires_on", ExpiryUnix}, {"expires_in", ExpirySeconds}}
		inHeader = []ExpiryRule{{"header:X-Expires", ExpiryUnix}}
		nested   = []ExpiryRule{{"data.end", ExpiryRFC3339}}
		inTwoH   = jwt(`{"exp":946692000}`)
	)
	for _, test := range []struct {
		name    string
		rules   []ExpiryRule
		members string
		token   string
		want    time.Duration
		says    string
	}{
		{"the standard rule", standard, `"expires_in":60,"expires_on":946688400`, "t", time.Minute, ""},
		{"the first of two", two, `"expires_in":60,"expires_on":946688400`, "t", time.Hour, ""},
		{"the second, as the first is missing", two, `"expires_in":60`, "t", time.Minute, ""},
		{"the second, as the first is null", two, `"expires_in":60,"expires_on":null`, "t", time.Minute, ""},
		{"the second, as the first is empty", two, `"expires_in":60,"expires_on":""`, "t", time.Minute, ""},
		{"a path", nested, `"data":{"end":"2000-01-01T00:30:00Z"}`, "t", 30 * time.Minute, ""},
		{"a header", inHeader, `"x":1`, "t", 10 * time.Minute, ""},
		{"exp, behind the rules", two, `"x":1`, inTwoH, 2 * time.Hour, ""},
		{"a rule wins over exp", two, `"expires_in":60`, inTwoH, time.Minute, ""},
		{"default_ttl", two, `"x":1`, "t", 7 * time.Minute, ""},
		{"default_ttl, as an exp that is no number counts for none", two, `"x":1`, jwt(`{"exp":"946692000"}`), 7 * time.Minute, ""},
		{"default_ttl, as a token in five parts is encrypted", two, `"x":1`, "a.b.c.d.e", 7 * time.Minute, ""},
		{"max_ttl bounds a rule", two, `"expires_in":86400`, "t", 3 * time.Hour, ""},
		{"max_ttl bounds exp", two, `"x":1`, jwt(`{"exp":1e300}`), 3 * time.Hour, ""},
		{"the second, as the first is zero", two, `"expires_in":60,"expires_on":0`, "t", time.Minute, ""},
		{"the second, as the first is a word", two, `"expires_in":60,"expires_on":"soon"`, "t", time.Minute, ""},
		{"exp, as the rule says zero", standard, `"expires_in":0`, inTwoH, 2 * time.Hour, ""},
		{"default_ttl, as no rule says it", two, `"expires_in":{},"expires_on":true`, "t", 7 * time.Minute, ""},
		{"default_ttl, as the rule says zero in a text", standard, `"expires_in":"0"`, "t", 7 * time.Minute, ""},
		{"the first is negative", two, `"expires_in":60,"expires_on":-1`, "t", 0, "expires_on must be a number above 0"},
		{"the second is negative", two, `"expires_in":-60`, "t", 0, "expires_in must be a number above 0"},
		{"a date that has passed", nested, `"data":{"end":"1999-12-31T23:59:59Z"}`, "t", 0, "data.end is in the past: check its unit, and the clocks"},
		{"an exp that has passed", two, `"x":1`, jwt(`{"exp":946684800}`), 0, "by its exp claim"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := fmt.Sprintf(`{"access_token":%q,%s}`, test.token, test.members)
				c := testClient(&exchange{body: body, header: http.Header{"X-Expires": {"946685400"}}})
				c.Response = TokenResponse{Expiry: test.rules, DefaultTTL: 7 * time.Minute, MaxTTL: 3 * time.Hour}
				token, err := c.Fetch(t.Context(), Want{})
				if test.says != "" {
					if err == nil || !contains(err.Error(), test.says) || token != (Token{}) {
						t.Errorf("got %v, want %q in it", err, test.says)
					}
					return
				}
				if err != nil || token.Lifetime != test.want {
					t.Errorf("got %v, %v; want %v", token.Lifetime, err, test.want)
				}
			})
		})
	}
}

func TestALifetimeIsNeverAboveTheLongest(t *testing.T) {
	for _, test := range []struct {
		response TokenResponse
		want     time.Duration
	}{
		{TokenResponse{}, DefaultTTL},
		{TokenResponse{DefaultTTL: 48 * time.Hour}, MaxTTL},
		{TokenResponse{DefaultTTL: 48 * time.Hour, MaxTTL: 36 * time.Hour}, 36 * time.Hour},
		{TokenResponse{MaxTTL: time.Minute}, time.Minute},
	} {
		c := testClient(&exchange{body: `{"access_token":"t","refresh_in":864000}`})
		c.Response = test.response
		token, err := c.Fetch(t.Context(), Want{})
		if limit := orDefault(test.response.MaxTTL, MaxTTL); err != nil || token.Lifetime != test.want || token.RefreshIn != limit {
			t.Errorf("%+v: lifetime %v, refresh in %v, %v", test.response, token.Lifetime, token.RefreshIn, err)
		}
	}
}

// FuzzTokenResponse: by whatever rules an answer is read, the token ends, and not
// later than is believed.
func FuzzTokenResponse(f *testing.F) {
	for i, body := range []string{
		goodAnswer, `{"access_token":"t","expires_on":"1900000000"}`, `{"a":{"b":"2030-01-02 15:04:05"}}`, `access_token=t&expires_in=5`,
		`{"access_token":"t","e":1e400}`, `{"access_token":"t","e":-0.1}`, `{"access_token":` + strconv.Quote(jwt(`{"exp":9e99}`)) + `}`, `[`, ``,
	} {
		f.Add([]byte(body), "access_token", "expires_in", "e", uint8(i), int64(0), int64(i)*1e9)
		f.Add([]byte(body), "header:X-Token", "a.b", "header:X-End", uint8(9+i), int64(i), int64(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, place, first, second string, unit uint8, standard, most int64) {
		units := ExpiryUnits()
		response := TokenResponse{
			Token: []string{place, "access_token"},
			Expiry: []ExpiryRule{
				{first, units[int(unit)%len(units)]},
				{second, units[int(unit)/len(units)%len(units)]},
			},
			DefaultTTL: time.Duration(max(standard, 0)), MaxTTL: time.Duration(max(most, 0)),
		}
		c := testClient(&exchange{body: string(body), header: http.Header{"Content-Type": {"text/plain"}, "X-Token": {"t"}, "X-End": {"2100-01-01T00:00:00Z"}}})
		c.Response = response
		token, err := c.Fetch(t.Context(), Want{})
		if err != nil {
			if token != (Token{}) {
				t.Error("a token beside an error")
			}
			return
		}
		limit := orDefault(response.MaxTTL, MaxTTL)
		if token.Lifetime <= 0 || token.Lifetime > limit || token.RefreshIn < 0 || token.RefreshIn > limit {
			t.Errorf("lifetime %v, refresh in %v, at most %v", token.Lifetime, token.RefreshIn, limit)
		}
		if value := token.Value.Reveal(); value == "" || !isSendable(value) {
			t.Errorf("token %q", value)
		}
	})
}
