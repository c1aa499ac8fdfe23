package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const descriptionLimit = 300

// A sensitive collects the secrets of one token request, so that a server that
// echoes them in an error text does not put them into a log.
type sensitive []string

func (s *sensitive) add(secret Secret) {
	value := secret.Reveal()
	// A value of one or two characters would blank every text and hide little.
	if len(value) < 3 {
		return
	}
	// A server may quote a text that it has quoted already.
	quoted := quotedForms(value)
	for _, once := range quoted {
		quoted = append(quoted, quotedForms(once)...)
	}
	*s = append(*s, quoted...)
	*s = append(*s, value,
		url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)),
		base64.RawStdEncoding.EncodeToString([]byte(value)),
		base64.URLEncoding.EncodeToString([]byte(value)),
		base64.RawURLEncoding.EncodeToString([]byte(value)))
}

// addNested adds the texts of a decoded JSON value.
func (s *sensitive) addNested(value any) {
	switch v := value.(type) {
	case string:
		s.add(NewSecret(v))
	case []any:
		for _, element := range v {
			s.addNested(element)
		}
	case map[string]any:
		for _, member := range v {
			s.addNested(member)
		}
	}
}

// quotedForms are the inside of a text as a JSON string, with and without the
// escapes that make it fit for HTML.
func quotedForms(text string) []string {
	forHTML, _ := json.Marshal(text)
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)
	return []string{string(forHTML[1 : len(forHTML)-1]), strings.TrimSuffix(plain.String(), "\"\n")[1:]}
}

// tokenLike matches words that could be a token or a key: long, and of the
// characters that tokens are made of (RFC 6750 §2.1).
var (
	tokenLike = regexp.MustCompile(`[A-Za-z0-9._~+/=%-]{20,}`)
	guid      = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\.?$`)
	plainWord = regexp.MustCompile(`^[A-Za-z]+([._/-][A-Za-z]+)*[.]?$`)
)

// Clean makes a text from outside fit for a log: secrets and words that look
// like tokens are blanked, control characters and quotes are replaced, and the
// rest is cut after 300 bytes.
func Clean(text string, secrets ...Secret) string {
	var s sensitive
	for _, secret := range secrets {
		s.add(secret)
	}
	return s.clean(text)
}

// blank takes the request's secrets out of a text.
func (s sensitive) blank(text string) string {
	// The longest first: one may be the beginning of another.
	longest := slices.SortedFunc(slices.Values(s), func(a, b string) int { return len(b) - len(a) })
	for _, secret := range longest {
		text = strings.ReplaceAll(text, secret, Redacted)
	}
	return text
}

// clean makes a server's text fit for a log: the request's secrets and words
// that look like tokens are blanked, control characters and quotes are
// replaced, and the rest is cut.
func (s sensitive) clean(text string) string {
	text = s.blank(text)
	text = tokenLike.ReplaceAllStringFunc(text, func(word string) string {
		if guid.MatchString(word) || plainWord.MatchString(word) {
			return word
		}
		return Redacted
	})
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r == 0x7f || r == utf8.RuneError:
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > descriptionLimit {
		cut := descriptionLimit
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return text
}
