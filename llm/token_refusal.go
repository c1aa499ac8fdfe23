package llm

import (
	"net/http"
	"slices"
	"strings"
)

// RefusesToken reports whether an upstream's answer says that the access token is
// no good: status 401, or another 4xx with a Bearer challenge whose error is
// invalid_token (RFC 6750 §3.1), which some servers send with a 400 or a 403. The
// status alone says so for 401 only. challenges are the values of WWW-Authenticate.
func RefusesToken(status int, challenges []string) bool {
	if status == http.StatusUnauthorized {
		return true
	}
	return status >= http.StatusBadRequest && status < http.StatusInternalServerError && slices.ContainsFunc(challenges, challengesToken)
}

// challengesToken looks for error="invalid_token" among the parameters of a Bearer
// challenge. A value may hold several challenges (RFC 9110 §11.6.1): a word that
// no equals sign follows begins another.
func challengesToken(value string) bool {
	bearer := false
	for rest := value; rest != ""; {
		rest = strings.TrimLeft(rest, " \t,")
		end := strings.IndexAny(rest, " \t,=")
		if end < 0 {
			return false
		}
		word := rest[:end]
		rest = strings.TrimLeft(rest[end:], " \t")
		parameter, assigned := strings.CutPrefix(rest, "=")
		if !assigned {
			bearer = strings.EqualFold(word, "Bearer")
			continue
		}
		var text string
		text, rest = cutChallengeValue(strings.TrimLeft(parameter, " \t"))
		if bearer && strings.EqualFold(word, "error") && text == "invalid_token" {
			return true
		}
	}
	return false
}

// cutChallengeValue cuts a token or a quoted string off a challenge.
func cutChallengeValue(text string) (value, rest string) {
	quoted, isQuoted := strings.CutPrefix(text, `"`)
	if !isQuoted {
		end := strings.IndexAny(text, " \t,")
		if end < 0 {
			return text, ""
		}
		return text[:end], text[end:]
	}
	for i := 0; i < len(quoted); i++ {
		switch quoted[i] {
		case '\\':
			i++
		case '"':
			return quoted[:i], quoted[i+1:]
		}
	}
	return "", ""
}
