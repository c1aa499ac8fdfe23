package tokens

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// after runs a test in a bubble, whose time begins at 946684800, this long after
// that.
func after(t *testing.T, delay time.Duration, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(delay)
		f(t)
	})
}

func TestASelfSignedTokenLivesAsLongAsItSays(t *testing.T) {
	const exp = "946685400" // ten minutes after the beginning
	for _, test := range []struct {
		name   string
		delay  time.Duration
		change func(*SelfSigned, *Assertion)
		want   time.Duration
		says   string
	}{
		{"five minutes by default", 0, nil, 5 * time.Minute, ""},
		{"ttl", 0, func(s *SelfSigned, a *Assertion) { s.TTL, a.TTL = time.Hour, time.Hour }, time.Hour, ""},
		{"max_ttl", 0, func(s *SelfSigned, _ *Assertion) { s.Response.MaxTTL = time.Minute }, time.Minute, ""},
		{"a day at most", 0, func(s *SelfSigned, a *Assertion) { s.TTL, a.TTL = 48*time.Hour, 48*time.Hour }, MaxTTL, ""},
		{"exp is cut to a second", 400 * time.Millisecond, nil, 5*time.Minute - 400*time.Millisecond, ""},
		{"exp in milliseconds is not", 400 * time.Millisecond, func(_ *SelfSigned, a *Assertion) { a.Milliseconds = true }, 5 * time.Minute, ""},
		{"exp counts from an iat in the past", 0, func(_ *SelfSigned, a *Assertion) { a.Skew = 10 * time.Second }, 5*time.Minute - 10*time.Second, ""},
		{"a token without exp", 0, func(_ *SelfSigned, a *Assertion) { a.Claims = []Parameter{{"exp", Literal("")}} }, 5 * time.Minute, ""},
		{"a claim exp that is earlier", 7 * time.Minute, func(_ *SelfSigned, a *Assertion) { a.Claims = []Parameter{{"exp", Literal(exp)}} }, 3 * time.Minute, ""},
		{"a claim exp that is later", 0, func(_ *SelfSigned, a *Assertion) { a.Claims = []Parameter{{"exp", Literal(exp)}} }, 5 * time.Minute, ""},
		{"a claim exp that has passed", time.Hour, func(_ *SelfSigned, a *Assertion) { a.Claims = []Parameter{{"exp", Literal(exp)}} }, 0, "check the claim exp"},
		{"a key that is too short", 0, func(_ *SelfSigned, a *Assertion) { a.Key = Literal("cAnary") }, 0, "key is shorter than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after(t, test.delay, func(t *testing.T) {
				a := newAssertion(t, "HS256")
				s := &SelfSigned{Provider: "corp", JWT: a}
				if test.change != nil {
					test.change(s, a)
				}
				token, err := s.Fetch(t.Context(), Want{})
				if test.says != "" {
					if err == nil || !contains(err.Error(), test.says) || contains(err.Error(), "cAnary") || token != (Token{}) {
						t.Errorf("got %v, want %q in it", err, test.says)
					}
					return
				}
				// exp is a float64 on its way.
				if lost := (token.Lifetime - test.want).Abs(); err != nil || lost > time.Microsecond {
					t.Fatalf("got %v, %v; want %v", token.Lifetime, err, test.want)
				}
				verified(t, token.Value.Reveal(), "HS256", []byte(hmacSecret))
			})
		})
	}
}

func TestEachSelfSignedTokenIsANewOne(t *testing.T) {
	after(t, 0, func(t *testing.T) {
		s := &SelfSigned{JWT: newAssertion(t, "HS256")}
		first, _ := s.Fetch(t.Context(), Want{})
		time.Sleep(time.Second)
		if second, err := s.Fetch(t.Context(), Want{}); err != nil || second.Value.Equal(first.Value) {
			t.Errorf("the same token again, %v", err)
		}
	})
}

func TestATokenFileIsReadEachTime(t *testing.T) {
	inAnHour := jwt(`{"exp":946688400}`)
	standard := TokenResponse{}
	for _, test := range []struct {
		name, content string
		response      TokenResponse
		token         string
		want          time.Duration
		says          string
	}{
		{"a token that says nothing", "t1", standard, "t1", DefaultTTL, ""},
		{"white space around it is no part of it", "\n t1\r\n", standard, "t1", DefaultTTL, ""},
		{"its own exp", inAnHour + "\n", standard, inAnHour, time.Hour, ""},
		{"default_ttl", "t1", TokenResponse{DefaultTTL: time.Minute}, "t1", time.Minute, ""},
		{"exp wins over default_ttl", inAnHour, TokenResponse{DefaultTTL: time.Minute}, inAnHour, time.Hour, ""},
		{"max_ttl", inAnHour, TokenResponse{MaxTTL: time.Minute}, inAnHour, time.Minute, ""},
		{"rules for answers do not count", inAnHour, TokenResponse{Token: []string{"a"}, Expiry: []ExpiryRule{{"a", ExpiryUnix}}}, inAnHour, time.Hour, ""},
		{"an exp that has passed", jwt(`{"exp":946684800}`), standard, "", 0, "by its exp claim"},
		{"an empty file", "", standard, "", 0, "it is empty"},
		{"a file of white space", " \r\n", standard, "", 0, "it is empty"},
		{"white space inside", "cAnary t1", standard, "", 0, "white space"},
		{"two lines", "cAnary\ncAnary", standard, "", 0, "white space"},
		{"JSON that holds a token", `{"access_token":"cAnary"}`, standard, "", 0, "it holds JSON; have the token alone written to it"},
		{"a word before the token", "Bearer cAnary", standard, "", 0, "without a word such as Bearer"},
		{"a character that no header may carry", "cAnary\u00e9", standard, "", 0, "a header may not carry"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after(t, 0, func(t *testing.T) {
				content := "another token"
				f := &TokenFile{
					Path:     "/run/token",
					Provider: "corp", Response: test.response,
					File: valueFunc(func(context.Context) (Secret, error) { return NewSecret(content), nil }),
				}
				_, _ = f.Fetch(t.Context(), Want{})
				content = test.content
				token, err := f.Fetch(t.Context(), Want{})
				if test.says == "" {
					if err != nil || token.Value.Reveal() != test.token || token.Lifetime != test.want {
						t.Errorf("got %q for %v, %v; want %v", token.Value.Reveal(), token.Lifetime, err, test.want)
					}
					return
				}
				failed, ok := errors.AsType[*AuthenticationError](err)
				if !ok || failed.Code != CodeInvalidResponse || !failed.Temporary() || token != (Token{}) {
					t.Fatalf("got %v, %v", token, err)
				}
				for _, part := range []string{test.says, "provider corp", "the token file /run/token holds no usable token", "check what writes that file"} {
					if !contains(err.Error(), part) {
						t.Errorf("the error says %q, want %q in it", err, part)
					}
				}
				if shown := fmt.Sprintf("%v %+v", err, err); contains(shown, "cAnary") {
					t.Errorf("the error shows %s", shown)
				}
			})
		})
	}
}

func TestAFileThatCannotBeReadIsTheError(t *testing.T) {
	broken := errors.New("file gone")
	value := valueFunc(func(context.Context) (Secret, error) { return Secret{}, broken })
	for name, fetcher := range map[string]Fetcher{"a token file": &TokenFile{File: value}, "what signs": &SelfSigned{JWT: value}} {
		if token, err := fetcher.Fetch(t.Context(), Want{}); !errors.Is(err, broken) || token != (Token{}) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Another program may be about to write the file anew.
func TestATokenFileOfNoUseIsReadAgain(t *testing.T) {
	after(t, 0, func(t *testing.T) {
		reads := 0
		m := newTestManager(&TokenFile{File: valueFunc(func(context.Context) (Secret, error) {
			if reads++; reads == 1 {
				return Secret{}, nil
			}
			return NewSecret("t1"), nil
		})})
		if token := mustToken(t, m); token.Value.Reveal() != "t1" || reads != 2 {
			t.Errorf("got %q after %d reads", token.Value.Reveal(), reads)
		}
	})
}

// An agent that has stopped is noticed before requests fail. One that renews late is
// none.
func TestATokenFileThatNobodyRenewsIsWarnedAbout(t *testing.T) {
	after(t, 0, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		token := func(life time.Duration) string { return jwt(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(life).Unix())) }
		content := token(time.Hour)
		m := NewManager("corp")
		m.Bind(&Binding{Logger: zap.NewNop(), Fetcher: &TokenFile{
			Provider: "corp", Path: "/run/token", Logger: zap.New(core),
			File: valueFunc(func(context.Context) (Secret, error) { return NewSecret(content), nil }),
		}})
		use := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
				mustToken(t, m)
				synctest.Wait()
			}
		}
		use(50 * time.Minute)
		if logs.Len() != 0 {
			t.Fatalf("warned after 50 of 60 minutes: %v", logs.All()[0].ContextMap())
		}
		use(9 * time.Minute)
		if logs.Len() == 0 || logs.All()[0].ContextMap()["file"] != "/run/token" {
			t.Fatal("no warning")
		}
		warnings := logs.Len()
		content = token(2 * time.Hour)
		use(time.Hour)
		if logs.Len() != warnings {
			t.Error("warned about a token that was renewed")
		}
	})
}
