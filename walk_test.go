package oauth2llm

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/internal/message"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

func TestWhatFollowsAnAttempt(t *testing.T) {
	for _, test := range []struct {
		name string
		outcome
		want verdict
	}{
		{"an answer", outcome{}, answer},
		{"an answer to what can be sent again", outcome{replayable: true}, answer},
		{"an answer to a replay", outcome{replayed: true}, answer},
		{"an answer to a replay that can be sent again", outcome{replayed: true, replayable: true}, answer},
		{"a refusal of what cannot be sent again", outcome{refused: true}, giveUp},
		{"a refusal", outcome{refused: true, replayable: true}, replay},
		{"a refusal of a replay that cannot be sent again", outcome{refused: true, replayed: true}, giveUp},
		{"a refusal of a replay", outcome{refused: true, replayed: true, replayable: true}, giveUp},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := judge(test.outcome); got != test.want {
				t.Errorf("%+v is followed by %d, want %d", test.outcome, got, test.want)
			}
		})
	}
}

func TestTheTokensThatHaveLeftAreRemembered(t *testing.T) {
	first, second := new(tokens.Token), new(tokens.Token)
	var w walk
	for i, step := range []struct {
		token *tokens.Token
		want  [2]*tokens.Token
	}{
		{first, [2]*tokens.Token{first, nil}},
		{first, [2]*tokens.Token{first, nil}},
		{second, [2]*tokens.Token{second, first}},
	} {
		if w.sends(step.token); w.sent != step.want {
			t.Errorf("after %d: %v, want %v", i, w.sent, step.want)
		}
	}
}

// refusalOf notes a provider's token. What it returns says whether that has become
// suspect since, or was replaced already.
func refusalOf(t *testing.T, p *provider) (refused func() bool) {
	t.Helper()
	token, err := p.manager.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() bool { return p.manager.Suspects(token) || p.manager.Current() != token }
}

// What a plain reverse_proxy has placed of an answer says whether the token is
// suspect.
func TestAPlainReverseProxysAnswerMayMakeTheTokenSuspect(t *testing.T) {
	const challenge = `Bearer realm="llm", error="invalid_token"`
	for name, test := range map[string]struct {
		status    any
		challenge any
		refused   bool
	}{
		"200":                            {200, nil, false},
		"401":                            {401, nil, true},
		"401 with a challenge":           {401, challenge, true},
		"403":                            {403, nil, false},
		"403 with a challenge":           {403, challenge, true},
		"403 with a challenge for more":  {403, `Bearer error="insufficient_scope"`, false},
		"403 with another kind of it":    {403, `Basic realm="x"`, false},
		"400 with a challenge":           {400, challenge, true},
		"400":                            {400, nil, false},
		"500 with a challenge":           {500, challenge, false},
		"200 with a challenge":           {200, challenge, false},
		"nothing was answered":           {nil, nil, false},
		"what was left of an older one":  {"no", challenge, false},
		"403 behind a challenge as well": {403, `Negotiate, ` + challenge, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := mustHandler(t, corp(newTokenEndpoint(t).URL, ""), decorating)
			next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				replacer := leaseOf(r.Context()).replacer
				if test.status != nil {
					replacer.Set(upstreamStatus, test.status)
				}
				if test.challenge != nil {
					replacer.Set(upstreamChallenge, test.challenge)
				}
				return nil
			})
			r := withCaddyContext(chatRequest(nil))
			// Of another reverse_proxy, such as forward_auth, before this directive.
			replacerOf(r).Set(upstreamStatus, 401)
			replacerOf(r).Set(upstreamChallenge, challenge)
			refused := refusalOf(t, h.providers["corp"])
			if err := h.ServeHTTP(httptest.NewRecorder(), r, next); err != nil {
				t.Fatal(err)
			}
			if got := refused(); got != test.refused {
				t.Errorf("the token is suspect: %v, want %v", got, test.refused)
			}
		})
	}
}

// The last directive decides, and its upstream's answer is about its own token.
func TestALaterDirectivesRefusalMakesNoEarlierTokenSuspect(t *testing.T) {
	for name, test := range map[string]struct {
		// before and after are the statuses that come before and after the later
		// directive has the request.
		before, after  int
		earlier, later bool
	}{
		"the later one's is refused":   {0, 401, false, true},
		"the earlier one's is refused": {401, 200, true, false},
		"both are refused":             {401, 401, true, true},
		"neither is refused":           {429, 200, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			provider := `"client_id":"i","client_secret":"s","token_url":"` + newTokenEndpoint(t).URL + `"`
			app := `{"providers":{"corp":{` + provider + `},"later":{` + provider + `}}}`
			earlier := mustHandler(t, app, `{"provider":"corp","client_keys_off":true}`)
			later := mustHandler(t, app, `{"provider":"later","client_keys_off":true}`)
			last := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				leaseOf(r.Context()).replacer.Set(upstreamStatus, test.after)
				return nil
			})
			between := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				if test.before != 0 {
					leaseOf(r.Context()).replacer.Set(upstreamStatus, test.before)
				}
				return later.ServeHTTP(w, r, last)
			})
			earlierRefused, laterRefused := refusalOf(t, earlier.providers["corp"]), refusalOf(t, later.providers["later"])
			if err := earlier.ServeHTTP(httptest.NewRecorder(), withCaddyContext(chatRequest([]byte("{}"))), between); err != nil {
				t.Fatal(err)
			}
			if got := earlierRefused(); got != test.earlier {
				t.Errorf("the earlier token is suspect: %v", got)
			}
			if got := laterRefused(); got != test.later {
				t.Errorf("the later token is suspect: %v", got)
			}
		})
	}
}

func TestOnlyAFreshBodyIsSentAfterOneThatWasBegun(t *testing.T) {
	h := mustHandler(t, corp(newTokenEndpoint(t).URL, ""), `{"provider":"corp","client_keys_off":true,"max_body":2}`)
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		l := leaseOf(r.Context())
		send := func(body io.ReadCloser, read int) error {
			sent := &http.Request{Header: http.Header{}, Body: body, ContentLength: -1}
			m, err := l.bodyOf(sent)
			if err != nil || m == nil {
				return err
			}
			if err := m.Attempt(sent, new(message.Gate)); err != nil {
				return err
			}
			_, err = io.ReadFull(sent.Body, make([]byte, read))
			return err
		}
		fresh := func() io.ReadCloser { return io.NopCloser(strings.NewReader("fresh body")) }
		another := io.NopCloser(strings.NewReader("another body"))
		type uncomparable struct {
			io.ReadCloser
			_ []byte
		}
		odd := uncomparable{ReadCloser: fresh()}
		for _, step := range []struct {
			name string
			body io.ReadCloser
			read int
			want error
		}{
			{"one that cannot be compared", odd, 10, nil},
			{"that one once more", odd, 10, message.ErrSent},
			{"one that is not begun", r.Body, 0, nil},
			{"once more", r.Body, 0, nil},
			{"one that is begun", r.Body, 1, nil},
			{"once more", r.Body, 1, message.ErrSent},
			{"another one", another, 3, nil},
			{"that one once more", another, 3, message.ErrSent},
			{"a fresh one", fresh(), 10, nil},
			{"another fresh one", fresh(), 10, nil},
			{"none", http.NoBody, 0, nil},
			{"none at all", nil, 0, nil},
		} {
			if err := send(step.body, step.read); !errors.Is(err, step.want) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
		}
		return nil
	})
	r := httptest.NewRequest(http.MethodPost, "/v1/files", strings.NewReader("the client's body"))
	if err := h.ServeHTTP(httptest.NewRecorder(), withCaddyContext(r), next); err != nil {
		t.Fatal(err)
	}
}

// A meteredBody says how much of it was read.
type meteredBody struct {
	io.Reader
	read   int
	closed bool
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *meteredBody) Close() error {
	b.closed = true
	return nil
}

func TestOfARefusalLittleIsReadAndLessIsKept(t *testing.T) {
	for name, test := range map[string]struct{ size, kept, read int }{
		"nothing":              {0, 0, 0},
		"a few words":          {100, 100, 100},
		"what is kept":         {4 << 10, 4 << 10, 4 << 10},
		"one byte more":        {4<<10 + 1, 4 << 10, 4<<10 + 1},
		"what is read":         {64 << 10, 4 << 10, 64 << 10},
		"more than one wants":  {64<<10 + 1, 4 << 10, 64 << 10},
		"far more than that":   {10 << 20, 4 << 10, 64 << 10},
		"one without a length": {1 << 20, 4 << 10, 64 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			body := &meteredBody{Reader: strings.NewReader(strings.Repeat("x", test.size))}
			if text := discard(&http.Response{Body: body}); len(text) != test.kept || body.read != test.read || !body.closed {
				t.Errorf("%d bytes are kept of %d that were read, want %d of %d; closed: %v", len(text), body.read, test.kept, test.read, body.closed)
			}
		})
	}
}

func TestARefusalThatDoesNotEndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		go func() { _, _ = io.WriteString(writer, "the token is") }()
		start := time.Now()
		if text := discard(&http.Response{Body: reader}); text != "the token is" || time.Since(start) != discardWait {
			t.Errorf("%q is kept after %v", text, time.Since(start))
		}
	})
}
