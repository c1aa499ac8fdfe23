package oauth2llm

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

const sentToken = "a/token+of=more~than-16.bytes"

// answering is the writer of a request with which a token was sent.
func answering(w http.ResponseWriter, place config.EffectivePlace, sent ...string) *answerWriter {
	l := new(lease)
	l.route.target.provider = &provider{name: "corp", place: place}
	for _, text := range sent {
		l.walk.sends(&tokens.Token{Value: tokens.NewSecret(text)})
	}
	l.answer.ResponseWriter, l.answer.lease = w, l
	return &l.answer
}

func TestWhatAnLLMEchoesOfTheTokenIsRemoved(t *testing.T) {
	lower := strings.ToLower(url.QueryEscape(sentToken))
	for name, test := range map[string]struct {
		field, value string
		token        string
		place        config.EffectivePlace
		kept         bool
	}{
		"the token":                              {field: "X-Echo", value: sentToken},
		"the token behind Bearer":                {field: "X-Echo", value: "Bearer " + sentToken},
		"the token in a text":                    {field: "X-Debug", value: "got <" + sentToken + ">, thanks"},
		"the token in percent-encoding":          {field: "Location", value: "/x?t=" + url.QueryEscape(sentToken)},
		"the token in small percent-encoding":    {field: "Location", value: "/x?t=" + lower},
		"the token with more encoded than needs": {field: "X-Echo", value: strings.ReplaceAll(sentToken, "o", "%6F")},
		"the token behind odd percent signs":     {field: "X-Echo", value: "100%, %zz %" + sentToken},
		"the token in a cookie":                  {field: "Set-Cookie", value: "t=" + sentToken + "; Path=/"},
		"another value":                          {field: "X-Echo", value: "a/token+of=more", kept: true},
		"an empty value":                         {field: "X-Echo", value: "", kept: true},
		"a value that ends in a percent sign":    {field: "X-Echo", value: "a value that is long enough, 100%", kept: true},
		"a credential's name":                    {field: "Authorization", value: "anything"},
		"a credential's name, X-Api-Key":         {field: "X-Api-Key", value: "anything"},
		"a credential's name, Api-Key":           {field: "Api-Key", value: "anything"},
		"a credential's name, X-Goog-Api-Key":    {field: "X-Goog-Api-Key", value: "anything"},
		"a credential's name with underscores":   {field: "X_api_key", value: "anything"},
		"the provider's place":                   {field: "X-Token", value: "anything", place: config.EffectivePlace{Header: "X-Token"}},
		"the place of another provider":          {field: "X-Token", value: "anything", kept: true},
		"a name that begins like a credential's": {field: "X-Api-Key-Id", value: "anything", kept: true},
		"a challenge":                            {field: "Www-Authenticate", value: `Bearer error="invalid_token"`, kept: true},
		"a cookie":                               {field: "Set-Cookie", value: "a=b", kept: true},
		"a short token":                          {field: "X-Echo", value: "short-token", token: "short-token", kept: true},
		"a token of 15 bytes":                    {field: "X-Echo", value: "123456789012345", token: "123456789012345", kept: true},
		"a token of 16 bytes":                    {field: "X-Echo", value: "1234567890123456", token: "1234567890123456"},
		"a short token in its place":             {field: "Authorization", value: "Bearer short", token: "short"},
		"a trailer":                              {field: http.TrailerPrefix + "X-Echo", value: sentToken},
		"a trailer of a credential's name":       {field: http.TrailerPrefix + "Authorization", value: "anything"},
		"a trailer of the provider's place":      {field: http.TrailerPrefix + "X-Token", value: "x", place: config.EffectivePlace{Header: "X-Token"}},
		"another trailer":                        {field: http.TrailerPrefix + "X-Usage", value: "12", kept: true},
		"a token that goes into the query":       {field: "X-Echo", value: sentToken, place: config.EffectivePlace{Query: "key"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.token == "" {
				test.token = sentToken
			}
			if test.place == (config.EffectivePlace{}) {
				test.place.Header = "Authorization"
			}
			w := answering(httptest.NewRecorder(), test.place, test.token)
			header := w.Header()
			header[test.field] = []string{"first", test.value}
			header["X-Other"] = []string{"other"}
			w.WriteHeader(http.StatusOK)
			want := []string{"X-Other"}
			if test.kept {
				want = append(want, test.field)
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(header)); !slices.Equal(got, want) {
				t.Errorf("%v are left, want %v", got, want)
			}
			if test.kept && !slices.Equal(header[test.field], []string{"first", test.value}) {
				t.Errorf("%s is %q", test.field, header[test.field])
			}
		})
	}
}

// A 401 that was replayed has shown the first token to the LLM, too.
func TestBothTokensOfAReplayAreRemoved(t *testing.T) {
	w := answering(httptest.NewRecorder(), config.EffectivePlace{Header: "Authorization"}, "the-first-long-token", "the-second-long-token")
	w.Header()["X-First"], w.Header()["X-Second"] = []string{"the-first-long-token"}, []string{"the-second-long-token"}
	w.WriteHeader(http.StatusOK)
	if len(w.Header()) != 0 {
		t.Errorf("%v are left", w.Header())
	}
}

// Whatever lets the header leave, it is clean by then.
func TestTheHeaderIsCleanHoweverItLeaves(t *testing.T) {
	for name, leave := range map[string]func(w *answerWriter){
		"with a status":       func(w *answerWriter) { w.WriteHeader(http.StatusTeapot) },
		"with the first byte": func(w *answerWriter) { _, _ = io.WriteString(w, "x") },
		"with a copy":         func(w *answerWriter) { _, _ = w.ReadFrom(strings.NewReader("x")) },
		"with a flush":        func(w *answerWriter) { _ = http.NewResponseController(w).Flush() },
		"with io.Copy":        func(w *answerWriter) { _, _ = io.Copy(w, strings.NewReader("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			w := answering(recorder, config.EffectivePlace{Header: "Authorization"}, sentToken)
			w.Header()["X-Echo"], w.Header()["X-Other"] = []string{sentToken}, []string{"o"}
			leave(w)
			if got := recorder.Result().Header; got.Get("X-Echo") != "" || got.Get("X-Other") != "o" {
				t.Errorf("the header is %v", got)
			}
		})
	}
}

// Each 1xx has a header of its own, and the answer after it another.
func TestTheHeaderOfA1xxIsCleanAndTheAnswersToo(t *testing.T) {
	var seen []string
	note := func(status int, header http.Header) {
		seen = append(seen, fmt.Sprintf("%d %v", status, slices.Sorted(maps.Keys(header))))
	}
	w := answering(&noting{httptest.NewRecorder(), note}, config.EffectivePlace{Header: "Authorization"}, sentToken)
	for _, status := range []int{http.StatusEarlyHints, http.StatusProcessing, http.StatusOK} {
		w.Header()["X-Echo"], w.Header()["Link"] = []string{sentToken}, []string{"</a>"}
		w.WriteHeader(status)
	}
	if want := []string{"103 [Link]", "102 [Link]", "200 [Link]"}; !slices.Equal(seen, want) {
		t.Errorf("the headers were %q, want %q", seen, want)
	}
}

type noting struct {
	http.ResponseWriter
	note func(status int, header http.Header)
}

func (n *noting) WriteHeader(status int) { n.note(status, n.Header().Clone()) }

// What follows a 101 is no answer, and a header that has left is not looked at again.
func TestAfterTheHeaderHasLeftOnlyTrailersAreCleaned(t *testing.T) {
	w := answering(httptest.NewRecorder(), config.EffectivePlace{Header: "Authorization"}, sentToken)
	w.WriteHeader(http.StatusOK)
	w.Header()["X-Late"] = []string{sentToken}
	_, _ = io.WriteString(w, "x")
	if w.Header()["X-Late"] == nil {
		t.Error("a write looks for trailers")
	}
	if w.clean(); len(w.Header()) != 0 {
		t.Errorf("the trailers are %v", w.Header())
	}
}

// A request that is passed on has no token, and its answer is its upstream's.
func TestTheAnswerToWhatWasPassedOnIsLeftAlone(t *testing.T) {
	h := mustHandler(t, corp("http://127.0.0.1:1", ""), `{"client_keys_off":true,"unknown_model":"pass"}`)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Authorization", "theirs")
		w.WriteHeader(http.StatusOK)
		return nil
	})
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, withCaddyContext(chatRequest([]byte(`{"model":"zzz/m"}`))), next); err != nil || w.Header().Get("Authorization") != "theirs" {
		t.Errorf("the header is %v, %v", w.Header(), err)
	}
}

func TestPercentSignsThatEncodeNothingStay(t *testing.T) {
	for text, want := range map[string]string{"": "", "plain": "plain", "%41%6a%6A": "Ajj", "%": "%", "%4": "%4", "%4g%zz%%41": "%4g%zz%A", "a%20b%": "a b%"} {
		if got := percentDecoded(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
