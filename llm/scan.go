package llm

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// modelKey is what every place in a request calls the model.
const modelKey = "model"

// Model is a model's name as it stands in a body.
type Model struct {
	// Name is the name, decoded. It is as the client wrote it: ParseName says
	// whether it is any good.
	Name string
	// Start and End enclose what the name was decoded from: in a JSON body the
	// string with its quotes, in a form the field's value.
	Start, End int
}

// FindModel finds the member `model` at the top level of a JSON body, and
// whether there is one. It reads the body once, to its end, allocates nothing
// but the name, and accepts only what all parsers read alike:
//
//   - one JSON object and nothing else, strict,
//     in UTF-8, nested up to 512 levels;
//   - one `model`, however it is escaped. A second one is ambiguous
//     , also if it differs in case: Go's encoding/json ignores case
//     where others do not. `Model` alone is not a model. Only ASCII letters
//     fold to those of `model`, so ASCII folding is encoding/json's;
//   - a `model` that is a string of at most 256 bytes, without lone
//     surrogates, which parsers decode differently.
func FindModel(body []byte) (Model, bool, error) {
	o, err := scanObject(body, false)
	if err != nil {
		return Model{}, false, err
	}
	return o.model, o.model.End > 0, nil
}

// An object is what one look at a JSON body finds.
type object struct {
	// model is the member `model`; its End is 0 if there is none.
	model Model
	// chooser is what else may choose a model; see Found.Chooser.
	chooser string
	// variant says that a member is called `model` in another spelling.
	variant bool
	// first is where the first member may stand, right behind the brace.
	first int
	// empty says that there is no member.
	empty bool
}

// scanObject is FindModel, and finds the rest of object in the same look. A
// nullable `model` may be null, which is then the span.
func scanObject(body []byte, nullable bool) (object, error) {
	s := scanner{text: body}
	if s.next() != '{' {
		return object{}, invalidBody("the body must be a JSON object")
	}
	o := object{first: s.at + 1}
	more := s.enter('}')
	o.empty = !more
	for models := 0; more; {
		raw, ok := s.key()
		if !ok {
			return object{}, s.fault()
		}
		key := memberKeyword(raw)
		if key.isModel() {
			if models++; models > 1 {
				return object{}, ambiguousModel("the body names the model more than once; name it once")
			}
		}
		chooser := key.chooser()
		o.variant = o.variant || chooser == modelVariant
		first, start := s.next(), s.at
		exact := key.text == modelKey && key.exact
		if exact && first != '"' && !(nullable && first == 'n') {
			return object{}, invalidBody("model in the body must be a string")
		}
		if key.text == toolsKey && first == '[' {
			var named bool
			if named, ok = s.skipTools(); named {
				chooser = modelOfTool
			}
		} else {
			ok = s.skipValue(1)
		}
		if !ok {
			return object{}, s.fault()
		}
		if exact {
			o.model.Start, o.model.End = start, s.at
		}
		if o.chooser == "" {
			o.chooser = chooser
		}
		if more, ok = s.more('}'); !ok {
			return object{}, s.fault()
		}
	}
	if s.next(); s.at < len(body) {
		return object{}, invalidBody("the body must be one JSON object with nothing after it")
	}
	if o.model.End == 0 || body[o.model.Start] != '"' {
		return o, nil
	}
	var err error
	if o.model.Name, err = decodeName(body[o.model.Start+1 : o.model.End-1]); err != nil {
		return object{}, err
	}
	return o, nil
}

// skipTools steps over the array that begins here, the tools of a request, and
// says whether one of the objects in it has a string `model`.
func (s *scanner) skipTools() (named, ok bool) {
	for more := s.enter(']'); more; {
		if s.next() == '{' {
			var model bool
			if model, ok = s.skipTool(); model {
				named = true
			}
		} else {
			ok = s.skipValue(2)
		}
		if !ok {
			return false, false
		}
		if more, ok = s.more(']'); !ok {
			return false, false
		}
	}
	return named, true
}

// skipTool steps over one object of skipTools.
func (s *scanner) skipTool() (named, ok bool) {
	for more := s.enter('}'); more; {
		raw, isKey := s.key()
		if !isKey {
			return false, false
		}
		if memberKeyword(raw).text == modelKey && s.next() == '"' {
			named = true
		}
		if !s.skipValue(3) {
			return false, false
		}
		if more, ok = s.more('}'); !ok {
			return false, false
		}
	}
	return named, true
}

// key is skipKey, and returns what stands between the quotes.
func (s *scanner) key() (raw []byte, ok bool) {
	if s.next() != '"' {
		return nil, false
	}
	start := s.at + 1
	if !s.skipString() {
		return nil, false
	}
	raw = s.text[start : s.at-1]
	if s.next() != ':' {
		return nil, false
	}
	s.at++
	return raw, true
}

// enter steps into the container that begins here, and says whether anything
// is in it; one that is empty it leaves again.
func (s *scanner) enter(closing byte) bool {
	s.at++
	if s.next() != closing {
		return true
	}
	s.at++
	return false
}

// more steps over what comes after a value in a container, and says whether
// that is another value.
func (s *scanner) more(closing byte) (more, ok bool) {
	switch s.next() {
	case ',':
		s.at++
		return true, true
	case closing:
		s.at++
		return false, true
	}
	return false, false
}

// fault says why the scanner cannot go on. Where it stands helps to find the
// fault and tells the client nothing that it did not send.
func (s *scanner) fault() error {
	if s.tooDeep {
		return invalidBody(fmt.Sprintf("the body is nested more than %d levels deep", maxDepth))
	}
	return invalidBody(fmt.Sprintf("the body is not valid JSON in UTF-8 (at byte %d)", s.at))
}

// decodeName decodes a model's name from what stands between its quotes. It
// stops at the first byte too many, whatever the length of the string.
func decodeName(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		if len(raw) > maxName {
			return "", invalidBody(nameTooLong)
		}
		return string(raw), nil
	}
	var decoded [maxName + utf8.UTFMax]byte
	name := decoded[:0]
	for len(raw) > 0 {
		r, size, ok := unquoteRune(raw)
		if !ok {
			return "", invalidBody("model in the body holds half of a surrogate pair")
		}
		raw = raw[size:]
		if name = utf8.AppendRune(name, r); len(name) > maxName {
			return "", invalidBody(nameTooLong)
		}
	}
	return string(name), nil
}
