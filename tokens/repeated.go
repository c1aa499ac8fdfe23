package tokens

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// readPlaces are the members of a good answer that are read besides those of a
// TokenResponse.
var readPlaces = []string{"error", "refresh_token", "token_type", "scope", "refresh_in", "refresh_on"}

// findRepeated is the error about an answer that says something twice: parsers disagree on which
// one counts, so that somebody else may have read another token. RFC 6749 §3.2 forbids
// it.
func (r TokenResponse) findRepeated(content content) error {
	places := slices.Concat(readPlaces, r.Token)
	for _, rule := range r.Expiry {
		places = append(places, rule.Path)
	}
	for _, place := range places {
		if name, found := content.repeated(place); found {
			return fmt.Errorf("the answer holds %s twice, and which one counts is unclear: the server must send it once", name)
		}
	}
	return nil
}

// repeated reports whether an answer holds what is at a place, or what leads there,
// more than once, and gives its name.
func (c content) repeated(place string) (name string, found bool) {
	switch name, isHeader := strings.CutPrefix(place, headerPlace); {
	case isHeader:
		return place, len(c.header.Values(name)) > 1
	case c.form != nil:
		return place, len(c.form[place]) > 1
	case c.text != "":
		return repeatedMember(gjson.Parse(c.text), place, "")
	}
	return "", false
}

// repeatedMember follows a gjson path as far as it names members and elements. Where
// it goes on with a query, all that lies within is searched for the names in it.
func repeatedMember(node gjson.Result, path, walked string) (name string, found bool) {
	for path != "" && (node.IsObject() || node.IsArray()) {
		step, rest, plain := firstStep(path)
		if !plain {
			return repeatedWithin(node, strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(`.|#@()[]{},:="`, r) }), querySearchDepth)
		}
		if node.IsArray() {
			node = node.Get(step)
		} else {
			values := membersNamed(node, step)
			if len(values) > 1 {
				return walked + step, true
			}
			if len(values) == 0 {
				return "", false
			}
			node = values[0]
		}
		path, walked = rest, walked+step+"."
	}
	return "", false
}

// firstStep splits a gjson path at its first dot or bar that is not escaped. A plain
// step is the name of a member or the index of an element.
func firstStep(path string) (step, rest string, plain bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			b.WriteByte(path[i])
		case c == '.' || c == '|':
			return b.String(), path[i+1:], true
		case strings.IndexByte("*?#", c) >= 0, i == 0 && strings.IndexByte("@!{[", c) >= 0:
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", true
}

// membersNamed lists the members of an object of a name, however that is escaped.
func membersNamed(object gjson.Result, name string) (values []gjson.Result) {
	object.ForEach(func(key, value gjson.Result) bool {
		if key.String() == name {
			values = append(values, value)
		}
		return true
	})
	return values
}

// querySearchDepth is more than a path descends.
const querySearchDepth = 16

// repeatedWithin looks for a member of one of some names that an object within the
// node holds twice.
func repeatedWithin(node gjson.Result, names []string, depth int) (name string, found bool) {
	if depth == 0 || !node.IsObject() && !node.IsArray() {
		return "", false
	}
	if node.IsObject() {
		for _, name := range names {
			if len(membersNamed(node, name)) > 1 {
				return name, true
			}
		}
	}
	node.ForEach(func(_, value gjson.Result) bool {
		name, found = repeatedWithin(value, names, depth-1)
		return !found
	})
	return name, found
}
