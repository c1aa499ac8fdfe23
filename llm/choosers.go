package llm

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// What a request may hold besides its model, and by which some server would run
// another one. The spelling is the one that Found.Chooser shows.
const (
	// modelVariant is a `model` in another spelling, which a lenient server takes
	// for the plain one.
	modelVariant = "Model"
	// modelOfTool is a model that one of the tools names for itself.
	modelOfTool = "tools[].model"
	// deploymentHeader is how Azure's endpoints of machine learning are told a
	// deployment.
	deploymentHeader = "azureml-model-deployment"
)

// toolsKey is the array whose objects may be such tools.
const toolsKey = "tools"

// keywords are the names that mean something to a server that chooses a model. All
// but the first two are choosers. Google's countTokens takes a whole request, with a
// model of its own, in generateContentRequest, in either spelling that ProtoJSON
// reads. mayBegin knows how they begin.
var keywords = [...]string{
	modelKey, toolsKey, "models", "fallbacks", "fallback_models", "route", "extra_body", "engine", "deployment", "deployment_id", "model_id", "modelId",
	"generateContentRequest", "generate_content_request",
}

// A word collects the letters of a name as the most lenient server would read
// it: case does not matter, also to the two letters outside ASCII that fold to
// one of ASCII, and a NUL ends it, as in C. Longer names than any that matter
// are none.
type word struct {
	letters [len("generate_content_request")]byte
	size    int
	// folded says that a letter was written in another case than the usual one.
	folded bool
	// cut says that the name goes on behind what has been collected.
	cut bool
	// foreign says that this is none of the names that matter.
	foreign bool
}

// add takes the next character, and says whether the one after it matters.
func (w *word) add(r rune) bool {
	switch {
	case r == 0:
		w.cut = true
		return false
	case 'A' <= r && r <= 'Z':
		r |= 0x20
		w.folded = true
	case r == '\u017f':
		r = 's'
		w.folded = true
	case r == '\u212a':
		r = 'k'
		w.folded = true
	}
	if r >= utf8.RuneSelf || w.size == len(w.letters) {
		w.foreign = true
		return false
	}
	w.letters[w.size] = byte(r)
	w.size++
	return true
}

// A keyword is what a name means. Its zero value is a name that means nothing.
type keyword struct {
	// text is one of keywords.
	text string
	// cut says that only the beginning of the name is this word.
	cut bool
	// exact says that the name is all in small letters, and this word.
	exact bool
}

// keyword says what the collected name means.
func (w *word) keyword() keyword {
	if w.foreign {
		return keyword{}
	}
	for _, text := range keywords {
		if len(text) == w.size && strings.EqualFold(text, string(w.letters[:w.size])) {
			return keyword{text: text, cut: w.cut, exact: !w.cut && !w.folded}
		}
	}
	return keyword{}
}

// isModel says whether the name is `model`, if case does not matter.
func (k keyword) isModel() bool { return k.text == modelKey && !k.cut }

// chooser is what Found.Chooser calls the name; empty if it chooses nothing, or
// nothing but the model.
func (k keyword) chooser() string {
	switch {
	case k.text == toolsKey:
		return ""
	case k.text != modelKey:
		return k.text
	case k.exact:
		return ""
	}
	return modelVariant
}

// mayBegin says whether a name that begins with this byte may mean anything.
func mayBegin(c byte) bool {
	switch c | 0x20 {
	case 'm', 'f', 'r', 'e', 'd', 't', 'g':
		return true
	}
	return false
}

// memberKeyword says what the name of a JSON object's member means, as it stands
// between its quotes.
func memberKeyword(raw []byte) keyword {
	if len(raw) == 0 || raw[0] != '\\' && !mayBegin(raw[0]) {
		return keyword{}
	}
	var w word
	for len(raw) > 0 {
		r, size, _ := unquoteRune(raw)
		raw = raw[size:]
		if !w.add(r) {
			break
		}
	}
	return w.keyword()
}

// fieldKeyword says what the name of a form's field means. A bracket begins what
// some servers make an array or an object of this name.
func fieldKeyword(name string) keyword {
	var w word
	for _, r := range name {
		if !w.addOfField(r) {
			break
		}
	}
	return w.keyword()
}

// addOfField is add for the names of fields and parameters.
func (w *word) addOfField(r rune) bool {
	if r == '[' {
		r = 0
	}
	return w.add(r)
}

// parameterKeyword says what the name of a query's parameter means, as it stands
// before the equals sign.
func parameterKeyword(raw string) keyword {
	if raw == "" || raw[0] != '%' && !mayBegin(raw[0]) {
		return keyword{}
	}
	// Room for every name, in letters that take three bytes, and for what ends it.
	var decoded [3 * (len(word{}.letters) + 1)]byte
	size := 0
	for size < len(decoded) && raw != "" {
		c := raw[0]
		width := 1
		if c == '%' {
			high, low := unhexDigit(raw, 1), unhexDigit(raw, 2)
			if high < 0 || low < 0 {
				return keyword{}
			}
			c, width = byte(high<<4|low), len("%xx")
		}
		decoded[size] = c
		size++
		raw = raw[width:]
	}
	var w word
	for name := decoded[:size]; len(name) > 0; {
		r, width := utf8.DecodeRune(name)
		if name = name[width:]; !w.addOfField(r) {
			break
		}
	}
	return w.keyword()
}

// unhexDigit is the value of the hexadecimal digit at a place, -1 if none is there.
func unhexDigit(text string, at int) int {
	if at >= len(text) {
		return -1
	}
	switch c := text[at]; {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// namesDeployment says whether a header has the field that names a deployment,
// also in the spelling that CGI cannot tell from it.
func namesDeployment(header http.Header) bool {
	for name := range header {
		if len(name) == len(deploymentHeader) && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), deploymentHeader) {
			return true
		}
	}
	return false
}
