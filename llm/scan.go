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
//   - one JSON object and nothing else (cases B09, B11, B12, B16, B17), strict,
//     in UTF-8, nested up to 512 levels (B18);
//   - one `model`, however it is escaped (B02). A second one is ambiguous
//     (B01), also if it differs in case (B06): Go's encoding/json ignores case
//     where others do not. `Model` alone is no model (B05). Only ASCII letters
//     fold to those of `model`, so ASCII folding is encoding/json's;
//   - a `model` that is a string (B15) of at most 256 bytes (B23), without lone
//     surrogates, which parsers decode differently.
func FindModel(body []byte) (Model, bool, error) {
	s := scanner{text: body}
	if s.next() != '{' {
		return Model{}, false, invalidBody("the body must be a JSON object")
	}
	s.at++
	var model Model
	var keys int
	for more := s.next() != '}'; more; {
		if s.next() != '"' {
			return Model{}, false, s.fault()
		}
		name := s.at + 1
		if !s.skipString() {
			return Model{}, false, s.fault()
		}
		exact, folded := isModelKey(body[name : s.at-1])
		if s.next() != ':' {
			return Model{}, false, s.fault()
		}
		s.at++
		if folded {
			if keys++; keys > 1 {
				return Model{}, false, ambiguousModel("the body names the model more than once; name it once")
			}
		}
		first := s.next()
		if exact {
			if first != '"' {
				return Model{}, false, invalidBody("model in the body must be a string")
			}
			model.Start = s.at
		}
		if !s.skipValue(1) {
			return Model{}, false, s.fault()
		}
		if exact {
			model.End = s.at
		}
		switch s.next() {
		case ',':
			s.at++
		case '}':
			more = false
		default:
			return Model{}, false, s.fault()
		}
	}
	s.at++
	if s.next(); s.at < len(body) {
		return Model{}, false, invalidBody("the body must be one JSON object with nothing after it")
	}
	if model.End == 0 {
		return Model{}, false, nil
	}
	var err error
	model.Name, err = decodeName(body[model.Start+1 : model.End-1])
	return model, err == nil, err
}

// fault says why the scanner cannot go on. Where it stands helps to find the
// fault and tells the client nothing that it did not send.
func (s *scanner) fault() error {
	if s.tooDeep {
		return invalidBody(fmt.Sprintf("the body is nested more than %d levels deep", maxDepth))
	}
	return invalidBody(fmt.Sprintf("the body is not valid JSON in UTF-8 (at byte %d)", s.at))
}

// isModelKey says whether a member's name, given as it stands between its
// quotes, is `model`, and whether it is if case does not matter.
func isModelKey(raw []byte) (exact, folded bool) {
	exact = true
	letters := 0
	for len(raw) > 0 {
		r, size, _ := unquoteRune(raw)
		raw = raw[size:]
		if letters == len(modelKey) || r|0x20 != rune(modelKey[letters]) {
			return false, false
		}
		exact = exact && r == rune(modelKey[letters])
		letters++
	}
	folded = letters == len(modelKey)
	return exact && folded, folded
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
