package oauth2llm

import (
	"strconv"
	"strings"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

func (b *providerBlock) tokenRequest() error {
	request := &b.provider.TokenRequest
	return b.block("token_request", func(option string) error {
		switch option {
		case "param":
			return b.param(request)
		case "header":
			return b.header(request)
		case "method":
			return b.template("token_request.method", &request.Method)
		case "encoding":
			return b.template("token_request.encoding", &request.Encoding)
		case "body":
			return b.body(request)
		case "timeout":
			return b.text("token_request.timeout", &request.Timeout)
		case "retries":
			request.Retries = new(int)
			return b.number("token_request.retries", request.Retries)
		case "retry_on":
			return b.statuses(request)
		case "transport":
			return b.transport("token_request.transport", &request.Transport)
		}
		return b.unknown(option, "token_request", "param", "header", "method", "encoding", "body", "timeout", "retries", "retry_on", "transport")
	})
}

// body parses JSON. Its syntax error shows nothing of it.
func (b *providerBlock) body(request *config.TokenRequest) error {
	const field = "token_request.body"
	text, err := b.one(field)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return b.fail(field, "must be a JSON object; put one between backticks, on one line or several")
	}
	if err := request.Body.UnmarshalJSON([]byte(withoutShorthands.Replace(text))); err != nil {
		return b.fail(field, "%w", err)
	}
	return nil
}

func (b *providerBlock) param(request *config.TokenRequest) error {
	name, value, err := b.pair("token_request.param")
	if err != nil {
		return err
	}
	if err := b.begin("token_request.params." + name); err != nil {
		return err
	}
	if request.Params == nil {
		request.Params = make(map[string]config.Template)
	}
	request.Params[name] = template(b.Dispenser, value)
	return nil
}

func (b *providerBlock) header(request *config.TokenRequest) error {
	name, value, err := b.pair("token_request.header")
	if err != nil {
		return err
	}
	b.provider.Locate("token_request.headers."+name, b.File(), b.Line())
	request.Headers = withHeader(request.Headers, name, template(b.Dispenser, value))
	return nil
}

func (b *providerBlock) statuses(request *config.TokenRequest) error {
	const field = "token_request.retry_on"
	if err := b.begin(field); err != nil {
		return err
	}
	arguments := b.RemainingArgs()
	if len(arguments) == 0 {
		return b.fail(field, "takes one status or more")
	}
	for _, argument := range arguments {
		status, err := strconv.Atoi(argument)
		if err != nil {
			return b.fail(field, "must be HTTP statuses, such as 409 425")
		}
		request.RetryOn = append(request.RetryOn, status)
	}
	return nil
}
