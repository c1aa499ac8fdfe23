package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// A Template is a configured value: text with placeholders such as {env.NAME},
// or os.environ/NAME. In JSON it is that text. It may hold a literal secret, so
// it prints as [redacted] with every verb of fmt and in structured logs.
type Template string

// Format implements fmt.Formatter: no verb shows the text.
func (Template) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokens.Redacted) }

// String implements fmt.Stringer, and with it zap.Any.
func (Template) String() string { return tokens.Redacted }

// LogValue implements slog.LogValuer.
func (Template) LogValue() slog.Value { return slog.StringValue(tokens.Redacted) }

// A Path is the path of a file that holds a value. It may hold {env.NAME}, or
// be os.environ/NAME.
type Path string

// A part is literal text or one placeholder.
type part struct {
	kind partKind
	// text is the literal, or the name behind the dot.
	text string
	// path is the path of a file, literals and variables.
	path []part
	// member is the gjson path of what is wanted of a JSON file.
	member string
	// raw is the part as it was written.
	raw string
}

type partKind string

const (
	partLiteral  partKind = "literal"
	partVariable partKind = "env"
	partFile     partKind = "file"
	partToken    partKind = "token"
	partUUID     partKind = "uuid"
	partNow      partKind = "now"
	partNowMS    partKind = "now_ms"
	partTokenURL partKind = "token_url"
	partModel    partKind = "model"

	partJWT            partKind = "jwt"
	partKeyFingerprint partKind = "key_fingerprint"
	// partVar is a variable of a preset; Resolve puts its value in its place (expand.go).
	partVar partKind = "var"
	// wordJSON is written for a partFile with a member.
	wordJSON = "json"
)

// The errors of a template do not repeat what stands in braces: it may be a
// piece of a secret whose braces were meant literally.
var (
	errNoVariable = errors.New("os.environ/ must be followed by the name of an environment variable")

	errUnclosed = errors.New(`a "{" has no "}"; write a literal brace as \{`)
	errUnknown  = errors.New(`a name in braces must be one of {env.NAME}, {file.PATH}, {json.PATH#MEMBER}, {token.PROVIDER}, {jwt}, {key_fingerprint}, {uuid}, {now}, {now_ms}, {token_url}, {var.NAME}; write a literal brace as \{`)
	errModel    = errors.New("{model} can stand in base_url only")
	errNameless = errors.New("a placeholder has no name after its dot")
	errNeedsJWT = errors.New("{jwt} and {key_fingerprint} need a jwt block")
	errMember   = errors.New("{json.PATH#MEMBER} needs the path of a file and the name of a member")
	errPath     = errors.New("a path may hold {env.NAME}, and no other placeholder")
)

// osEnviron begins a value that is an environment variable, as in LiteLLM.
const osEnviron = "os.environ/"

// parse splits a template into its parts, from left to right. A backslash
// directly before "{" makes it literal; all other backslashes are literal, and
// so is "}" outside of a placeholder.
func (t Template) parse() ([]part, error) {
	rest := string(t)
	if name, ok := strings.CutPrefix(rest, osEnviron); ok {
		if name == "" {
			return nil, errNoVariable
		}
		return []part{{kind: partVariable, text: name, raw: rest}}, nil
	}
	var parts []part
	for rest != "" {
		open := strings.IndexByte(rest, '{')
		switch {
		case open < 0:
			return append(parts, part{kind: partLiteral, text: rest, raw: rest}), nil
		case open > 0 && rest[open-1] == '\\':
			parts = append(parts, part{kind: partLiteral, text: rest[:open-1] + "{", raw: rest[:open+1]})
			rest = rest[open+1:]
			continue
		case open > 0:
			parts = append(parts, part{kind: partLiteral, text: rest[:open], raw: rest[:open]})
		}
		inside, after, closed := cutPlaceholder(rest[open+1:])
		if !closed {
			return nil, errUnclosed
		}
		placeholder, err := parsePlaceholder(inside)
		if err != nil {
			return nil, err
		}
		parts, rest = append(parts, placeholder), after
	}
	return parts, nil
}

// cutPlaceholder cuts a text after a "{" where that ends. A path or the name of a
// provider may hold another placeholder.
func cutPlaceholder(text string) (inside, after string, closed bool) {
	depth := 0
	for i, r := range text {
		switch {
		case r == '{':
			depth++
		case r == '}' && depth == 0:
			return text[:i], text[i+1:], true
		case r == '}':
			depth--
		}
	}
	return "", "", false
}

func parsePlaceholder(inside string) (part, error) {
	word, name, dotted := strings.Cut(inside, ".")
	p := part{kind: partKind(word), text: name, raw: "{" + inside + "}"}
	nests := word == wordJSON || p.kind == partFile || p.kind == partToken
	switch {
	case !nests && strings.Contains(inside, "{"):
		return part{}, errUnknown
	case word == wordJSON:
		p.kind = partFile
		path, member, found := strings.Cut(name, "#")
		if !found || path == "" || member == "" {
			return part{}, errMember
		}
		p.text, p.member = path, member
	}
	switch p.kind {
	case partVariable, partFile, partToken, partVar:
		if p.text == "" {
			return part{}, errNameless
		}
		if p.kind == partFile {
			var err error
			p.path, err = parsePath(p.text)
			return p, err
		}
		return p, nil
	case partUUID, partNow, partNowMS, partTokenURL, partModel, partJWT, partKeyFingerprint:
		if dotted {
			return part{}, errUnknown
		}
		return p, nil
	default:
		return part{}, errUnknown
	}
}

// literal makes text a template that stands for just that text.
func literal(text string) Template {
	return Template(strings.ReplaceAll(text, "{", `\{`))
}

// parse makes the path one part: the content of that file.
func (p Path) parse() ([]part, error) {
	if p == "" {
		return nil, nil
	}
	path, err := parsePath(string(p))
	if err != nil {
		return nil, err
	}
	return []part{{kind: partFile, path: path}}, nil
}

// parsePath parses the path of a file.
func parsePath(path string) ([]part, error) {
	parts, err := Template(path).parse()
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if part.kind != partLiteral && part.kind != partVariable && part.kind != partVar {
			return nil, errPath
		}
	}
	return parts, nil
}

// constant returns the value of a template that is read once, when the
// configuration is loaded. What changes with time or may fail for a while has
// no place in it.
func (t Template) constant(environment Environment, allowed ...partKind) (string, error) {
	parts, err := t.parse()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		if p.kind != partLiteral && p.kind != partVar && !slices.Contains(allowed, p.kind) {
			return "", notConstant(p.kind, allowed...)
		}
		text, err := environment.complete().read(context.Background(), p)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func notConstant(kind partKind, allowed ...partKind) error {
	return fmt.Errorf("{%s} cannot stand here: this value is read once, when the configuration is loaded, and may only hold %s", kind, listKinds(allowed))
}

func listKinds(kinds []partKind) string {
	spelled := map[partKind]string{partVariable: "{env.NAME}", partFile: "{file.PATH}", partModel: "{model}", partVar: "{var.NAME}"}
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = spelled[kind]
	}
	return strings.Join(words, " and ")
}

// Resolve returns the value of a template that is read when the configuration is
// loaded: it may hold {env.NAME} and {file.PATH}. The error is a
// *ConfigurationError.
func (t Template) Resolve(environment Environment) (tokens.Secret, error) {
	value, err := t.constant(environment, partVariable, partFile)
	if err != nil {
		return tokens.Secret{}, &ConfigurationError{Err: err}
	}
	return tokens.NewSecret(value), nil
}

// ResolvePaths returns the template with its relative {file.PATH}s made
// absolute against a folder.
func (t Template) ResolvePaths(folder string) Template {
	parts, err := t.parse()
	if err != nil {
		return t
	}
	var b strings.Builder
	for _, p := range parts {
		if p.kind == partFile {
			p.raw = p.resolved(folder)
		}
		b.WriteString(p.raw)
	}
	return Template(b.String())
}

// resolved is a placeholder for a file, its path absolute against a folder. A
// folder with braces in its name cannot be written in one, nor one with a # where a
// member is named.
func (p part) resolved(folder string) string {
	unwritable := "{}"
	if p.member != "" {
		unwritable = "{}#"
	}
	if p.path[0].kind != partLiteral || filepath.IsAbs(p.text) || strings.ContainsAny(folder, unwritable) {
		return p.raw
	}
	path := filepath.Join(folder, p.text)
	if p.member != "" {
		return "{" + wordJSON + "." + path + "#" + p.member + "}"
	}
	return "{file." + path + "}"
}

// ResolvePaths returns a relative path made absolute against a folder. A path
// that begins with a variable is left as it is.
func (p Path) ResolvePaths(folder string) Path {
	parts, err := Template(p).parse()
	if err != nil || len(parts) == 0 || parts[0].kind != partLiteral || filepath.IsAbs(parts[0].text) {
		return p
	}
	if len(parts) == 1 {
		return Path(literal(filepath.Join(folder, parts[0].text)))
	}
	return Path(literal(folder+string(filepath.Separator))) + p
}
