package tokens

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// answerLimit is the longest answer that is read.
const answerLimit = 1 << 20

var errAnswerLength = errors.New("the answer is larger than 1 MiB")

// An answer is what a token endpoint gave.
type answer struct {
	token        Token
	refreshToken Secret
}

// read reads a token endpoint's answer. No part of its text gets into an error
// but the error code and the cleaned description. The refresh
// token of an answer is returned even if the access token beside it is of no
// use: the server has used the old one up.
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
		failed.Code, failed.Err = CodeInvalidResponse, errAnswerLength
		return answer{}, failed
	}
	rules := c.Response.WithDefaults()
	content := parseAnswer(body, contentType, response.Header, rules.Token)
	for _, place := range append([]string{"access_token", "refresh_token", "id_token"}, rules.Token...) {
		p.sensitive.add(NewSecret(content.at(place).String()))
	}
	if response.StatusCode/100 != 2 || isError(content.at("error")) {
		c.refusal(failed, content, p, contentType)
		if c.signs() && !failed.temporary {
			failed.signed, failed.ServerClockOffset = true, serverClockOffset(response.Header, start, time.Now())
		}
		return answer{}, failed
	}
	failed.Code = CodeInvalidResponse
	var a answer
	if _, repeated := content.repeated("refresh_token"); repeated {
		// Neither can be trusted, and whether the one that was sent is used up is unknown.
		failed.temporary = c.RefreshToken != nil
	} else {
		a.refreshToken = NewSecret(content.at("refresh_token").String())
	}
	if failed.Err = rules.findRepeated(content); failed.Err != nil {
		return a, failed
	}
	value, found := rules.token(content)
	if !found {
		failed.Description = content.description(p.sensitive)
		failed.temporary, failed.Err = true, rules.noToken(contentType)
		return a, failed
	}
	if a.token, err = c.readToken(rules, content, value, start); err != nil {
		failed.Err = err
		return a, failed
	}
	c.compareScope(p.scope, content.at("scope"))
	return a, nil
}

// isError reports whether an error member says something: some servers send
// "error": null, "", false or 0 beside a token.
func isError(e gjson.Result) bool {
	switch e.Type {
	case gjson.Null, gjson.False:
		return false
	case gjson.Number:
		return e.Num != 0
	case gjson.JSON:
		return e.Raw != "{}" && e.Raw != "[]"
	case gjson.String, gjson.True:
	}
	return e.String() != ""
}

// readToken makes a token of what a good answer holds.
func (c *Client) readToken(rules TokenResponse, content content, value gjson.Result, start time.Time) (Token, error) {
	if value.Type != gjson.String {
		return Token{}, errors.New("the token must be a string")
	}
	if !isSendable(value.Str) {
		return Token{}, errors.New("the token holds a character that a header may not carry")
	}
	switch strings.ToLower(content.at("token_type").String()) {
	case "mac", "n_a", "dpop", "pop":
		// A token of a type that is not understood must not be used (RFC 6749 §7.1).
		return Token{}, errors.New("token_type is not Bearer")
	}
	lifetime, assumed, err := rules.lifetime(content, value.Str, start)
	if err != nil {
		return Token{}, err
	}
	if assumed {
		c.assumedOnce.Do(func() { logAssumedLifetime(c.logger(), c.Provider, lifetime) })
	}
	return Token{Value: NewSecret(value.Str), Lifetime: lifetime, RefreshIn: rules.refreshIn(content, start), ObtainedAt: start}, nil
}

// isSendable reports whether a header may carry a token: what it may not would
// break LLM requests, not the token request.
func isSendable(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
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
