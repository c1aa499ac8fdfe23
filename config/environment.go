package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/oauth2llm/caddy-oauth2-llm/tokens"
)

// An Environment is where placeholders take their values from. What is nil is
// taken from the process.
type Environment struct {
	// LookupEnv reads an environment variable.
	LookupEnv func(name string) (value string, ok bool)
	// Token returns the access token of another provider, for {token.PROVIDER}.
	Token func(ctx context.Context, provider string) (tokens.Secret, error)
	// Now is the time.
	Now func() time.Time
	// UUID makes a random UUID.
	UUID func() string
}

// DefaultEnvironment is the environment of the process. It knows no tokens.
func DefaultEnvironment() Environment { return Environment{}.complete() }

// noEnvironment has no variables.
func noEnvironment() Environment {
	return Environment{LookupEnv: func(string) (string, bool) { return "", false }}
}

func (e Environment) complete() Environment {
	if e.LookupEnv == nil {
		e.LookupEnv = os.LookupEnv
	}
	if e.Token == nil {
		e.Token = func(_ context.Context, provider string) (tokens.Secret, error) {
			return tokens.Secret{}, fmt.Errorf("the token of provider %s is not available here", shownName(provider))
		}
	}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.UUID == nil {
		e.UUID = uuid.NewString
	}
	return e
}

// before is the environment as it was some time ago.
func (e Environment) before(d time.Duration) Environment {
	now := e.complete().Now
	e.Now = func() time.Time { return now().Add(-d) }
	return e
}

// read returns the value of one part of a template. It knows no parts that refer to
// the provider's own fields.
func (e Environment) read(ctx context.Context, p part) (string, error) {
	switch p.kind {
	case partLiteral:
		return p.text, nil
	case partVariable:
		return e.variable(p.text)
	case partFile:
		path, err := e.path(p)
		if err != nil {
			return "", err
		}
		if p.member != "" {
			return readMember(path, p.member)
		}
		return readValueFile(path)
	case partToken:
		return e.token(ctx, p.text)
	case partUUID:
		return e.UUID(), nil
	case partNow:
		return strconv.FormatInt(e.Now().Unix(), 10), nil
	case partNowMS:
		return strconv.FormatInt(e.Now().UnixMilli(), 10), nil
	case partVar:
		return "", noVariable(p.text)
	default:
		return "", fmt.Errorf("{%s} has no value here", p.kind)
	}
}

// noVariable is the error about a {var.NAME} whose variable nobody sets.
func noVariable(name string) error {
	return fmt.Errorf("%w: no variable %s is set: add var %[2]s VALUE", ErrUnresolvedReference, shownName(name))
}

// variable reads an environment variable, which must be set.
func (e Environment) variable(name string) (string, error) {
	value, ok := e.LookupEnv(name)
	switch {
	case !ok:
		return "", fmt.Errorf("%w: the environment variable %s is not set", ErrUnresolvedReference, shownName(name))
	case value == "":
		return "", fmt.Errorf("%w: the environment variable %s is empty", ErrUnresolvedReference, shownName(name))
	}
	return value, nil
}

// path is the path of the file that a part refers to.
func (e Environment) path(file part) (string, error) {
	var path strings.Builder
	for _, p := range file.path {
		text, err := e.read(context.Background(), p)
		if err != nil {
			return "", err
		}
		path.WriteString(text)
	}
	return path.String(), nil
}

// token reads the access token of another provider. Its failure stays what it
// is, an outage or a refusal, and names that provider.
func (e Environment) token(ctx context.Context, provider string) (string, error) {
	token, err := e.Token(ctx, provider)
	var failed *tokens.AuthenticationError
	switch {
	case errors.As(err, &failed):
		copied := *failed
		copied.Status, copied.Description, copied.Endpoint, copied.Needs = 0, "", "", provider
		copied.Err = fmt.Errorf("{token.%s}: %w", shownName(provider), err)
		return "", &copied
	case err != nil:
		return "", fmt.Errorf("{token.%s}: %w", shownName(provider), err)
	}
	return token.Reveal(), nil
}
