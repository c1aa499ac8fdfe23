package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A node is a JSON value that remembers where it stands.
type node struct {
	// start is the offset of its first byte, end that behind its last one.
	start, end int
	// scalar is a string, json.Number, bool or nil.
	scalar   any
	members  []member
	elements []node
	kind     nodeKind
}

// A member is a name and a value of an object. Names may repeat.
type member struct {
	name  string
	start int
	value node
}

type nodeKind string

// Kinds of nodes, as errors call them.
const (
	kindString  nodeKind = "a string"
	kindNumber  nodeKind = "a number"
	kindBoolean nodeKind = "true or false"
	kindNull    nodeKind = "null"
	kindObject  nodeKind = "an object"
	kindList    nodeKind = "a list"
)

// A syntaxError is a place where a document is not valid JSON.
type syntaxError struct {
	offset int
	err    error
}

// parseJSON reads one JSON document. Unlike json.Unmarshal it keeps names that
// repeat and positions, and refuses bytes that would be replaced silently.
func parseJSON(data []byte) (node, *syntaxError) {
	if problem := unreadable(data); problem != nil {
		return node{}, problem
	}
	// Checks the depth as well, so that what follows may recurse.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return node{}, explain(data, err)
	}
	p := &jsonParser{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	p.decoder.UseNumber()
	return p.value(), nil
}

// unreadable finds out what is wrong with the encoding of a text.
func unreadable(data []byte) *syntaxError {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return &syntaxError{0, errors.New(`the file is empty; it holds at least {"oauth2_providers": {}}`)}
	case bytes.HasPrefix(data, []byte{0xEF, 0xBB, 0xBF}):
		return &syntaxError{0, errors.New("the file begins with a byte order mark: remove the byte order mark (save it as UTF-8 without BOM)")}
	case bytes.HasPrefix(data, []byte{0xFF, 0xFE}), bytes.HasPrefix(data, []byte{0xFE, 0xFF}),
		len(data) > 1 && (data[0] == 0) != (data[1] == 0):
		return &syntaxError{0, errors.New("the file is UTF-16: save it as UTF-8")}
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return &syntaxError{i, errors.New("the file is not UTF-8 here: save it as UTF-8")}
		}
		i += size
	}
	return nil
}

// yaml matches the beginning of a YAML document: behind comments, a marker, a key or an
// item of a list.
var yaml = regexp.MustCompile(`\A(?:\s|#[^\n]*\n)*(?:---|%YAML|[A-Za-z_][\w.-]*:(?:\s|\z)|- )`)

// explain says what an error of the JSON parser means and what to do. The
// parser's own text quotes the document.
func explain(data []byte, err error) *syntaxError {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return &syntaxError{0, &redacted{"the file must be JSON", err}}
	}
	at := min(max(int(syntax.Offset)-1, 0), len(data)-1)
	before := bytes.TrimRight(data[:at], " \t\r\n")
	text := "a character is out of place here"
	switch c := data[at]; {
	case yaml.Match(data):
		text = "this is YAML; write it as JSON"
	case syntax.Error() == "unexpected end of JSON input":
		text, at = "the text ends too early: a quote, bracket or brace is not closed", len(data)
	case strings.HasSuffix(syntax.Error(), "exceeded max depth"):
		text = "objects and lists are nested too deeply"
	case c == '/' || c == '#':
		text = "JSON has no comments: remove this one"
	case (c == '}' || c == ']') && bytes.HasSuffix(before, []byte(",")):
		text = "remove the comma before this closing brace or bracket"
	case c == '\'':
		text = `JSON strings stand in double quotes (")`
	case json.Valid(before):
		text = "there is more text after the end of the JSON object: remove it"
	}
	return &syntaxError{at, &redacted{"the file must be valid JSON: " + text, err}}
}

// A lineCounter finds lines and columns. It goes on from where it was: a long
// file is not counted anew for each of its fields.
type lineCounter struct {
	data                 []byte
	offset, line, column int
}

// at counts lines and characters from 1.
func (c *lineCounter) at(offset int) (line, column int) {
	if c.line == 0 || offset < c.offset {
		c.offset, c.line, c.column = 0, 1, 1
	}
	offset = min(offset, len(c.data))
	passed := c.data[c.offset:offset]
	c.offset = offset
	if lines := bytes.Count(passed, []byte("\n")); lines > 0 {
		passed = passed[bytes.LastIndexByte(passed, '\n')+1:]
		c.line, c.column = c.line+lines, 1
	}
	c.column += utf8.RuneCount(passed)
	return c.line, c.column
}

// A jsonParser builds nodes from a document that is known to be valid.
type jsonParser struct {
	data    []byte
	decoder *json.Decoder
}

// next returns the next token and where it starts.
func (p *jsonParser) next() (json.Token, int) {
	start := int(p.decoder.InputOffset())
	for start < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[start]) >= 0 {
		start++
	}
	token, err := p.decoder.Token()
	if err != nil {
		panic(fmt.Sprintf("valid JSON has no token at byte %d", start))
	}
	return token, start
}

func (p *jsonParser) value() node {
	token, start := p.next()
	n := node{start: start, scalar: token}
	switch token := token.(type) {
	case string:
		n.kind = kindString
	case json.Number:
		n.kind = kindNumber
	case bool:
		n.kind = kindBoolean
	case nil:
		n.kind = kindNull
	case json.Delim:
		n.scalar = nil
		if token == '[' {
			n.kind = kindList
		} else {
			n.kind = kindObject
		}
		p.content(&n)
	}
	n.end = int(p.decoder.InputOffset())
	return n
}

// content reads what lies between the brackets of a list or an object.
func (p *jsonParser) content(n *node) {
	for p.decoder.More() {
		if n.kind == kindList {
			n.elements = append(n.elements, p.value())
			continue
		}
		name, start := p.next()
		n.members = append(n.members, member{name.(string), start, p.value()})
	}
	p.next() // the closing bracket
}
