package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// answerLimit is the longest answer that is read.
const answerLimit = 1 << 20

// An answer is what a token endpoint gave.
type answer struct {
	token        Token
	refreshToken Secret
}

// read reads a token endpoint's answer. No part of its text gets into an error
// but the error code and the cleaned description (cases T13, X01). The refresh
// token of an answer is returned even if the access token beside it is of no
// use: the server has used the old one up (case T34).
func (c *Client) read(response *http.Response, p *prepared, start time.Time) (answer, *AuthenticationError) {
	failed := &AuthenticationError{
		Provider:   c.Provider,
		Status:     response.StatusCode,
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
	contentType := response.Header.Get("Content-Type")
	if response.StatusCode/100 == 3 {
		failed.Code = CodeRefused
		failed.Err = fmt.Errorf("the answer is a redirect%s, which is not followed: set token_url to the token endpoint itself", redirectTarget(response, p.sensitive))
		return answer{}, failed
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	if err != nil {
		return answer{}, c.networkError(err)
	}
	if len(body) > answerLimit {
		failed.Code, failed.Err = CodeInvalidResponse, errors.New("the answer is larger than 1 MiB")
		return answer{}, failed
	}
	members, ok := parseAnswer(body, contentType)
	if ok {
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			p.sensitive.add(NewSecret(members(name).String()))
		}
	}
	if response.StatusCode/100 != 2 || (ok && isError(members("error"))) {
		c.refusal(failed, members, ok, p, contentType)
		return answer{}, failed
	}
	failed.Code = CodeInvalidResponse
	if !ok {
		failed.temporary, failed.Err = true, noToken(contentType)
		return answer{}, failed
	}
	a := answer{refreshToken: NewSecret(members("refresh_token").String())}
	if len(strings.TrimSpace(members("access_token").String())) == 0 {
		failed.temporary, failed.Err = true, noToken(contentType)
		return a, failed
	}
	if a.token, err = c.readToken(members, start); err != nil {
		failed.Err = err
		return a, failed
	}
	c.compareScope(p.scope, members("scope"))
	return a, nil
}

// noToken is what servers behind a load balancer that is being replaced answer
// for a while (case T12).
func noToken(contentType string) error {
	return fmt.Errorf("the answer holds no access_token (%s)", mediaType(contentType))
}

// isError reports whether an error member says something: some servers send
// "error": null or "" beside a token.
func isError(e gjson.Result) bool { return e.Exists() && e.Type != gjson.Null && e.String() != "" }

// parseAnswer returns a look-up of the answer's members. Servers send JSON
// under any media type (case T14), and forms (case T15).
func parseAnswer(body []byte, contentType string) (members func(name string) gjson.Result, ok bool) {
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "{") {
		// json.Valid, not gjson.Valid: the latter can exhaust the stack.
		if !json.Valid([]byte(text)) {
			return nil, false
		}
		return func(name string) gjson.Result { return gjson.Get(text, name) }, true
	}
	if media := mediaType(contentType); media != "application/x-www-form-urlencoded" && media != "text/plain" {
		return nil, false
	}
	form, err := url.ParseQuery(text)
	if err != nil || (!form.Has("access_token") && !form.Has("error")) {
		return nil, false
	}
	return func(name string) gjson.Result {
		if !form.Has(name) {
			return gjson.Result{}
		}
		return gjson.Result{Type: gjson.String, Str: form.Get(name)}
	}, true
}

// readToken reads the access token and its lifetime out of a good answer.
func (c *Client) readToken(members func(string) gjson.Result, start time.Time) (Token, error) {
	value := members("access_token")
	if value.Type != gjson.String {
		return Token{}, errors.New("access_token is no string")
	}
	for _, r := range []byte(value.Str) {
		// What a header may not carry would break the request, not the token
		// endpoint (case T20).
		if r <= ' ' || r >= 0x7f {
			return Token{}, errors.New("access_token holds a character that a header may not carry")
		}
	}
	switch strings.ToLower(members("token_type").String()) {
	case "mac", "n_a", "dpop", "pop":
		// A token of a type that is not understood must not be used (RFC 6749 §7.1).
		return Token{}, errors.New("token_type is not Bearer")
	}
	lifetime, err := c.lifetime(members, value.Str, start)
	if err != nil {
		return Token{}, err
	}
	return Token{Value: NewSecret(value.Str), Lifetime: lifetime, RefreshIn: refreshIn(members, start)}, nil
}

func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || len(media) > 100 {
		return "no content type"
	}
	return media
}

// redirectTarget names the host that a redirect points to.
func redirectTarget(response *http.Response, secrets sensitive) string {
	location, err := response.Location()
	if err != nil || location.Hostname() == "" {
		return ""
	}
	return " to host " + secrets.clean(location.Hostname())
}
