package oauth2llm

import (
	"strconv"

	"github.com/oauth2llm/caddy-oauth2-llm/config"
)

func (b *providerBlock) tokenRequest() error {
	if err := b.begin("token_request"); err != nil {
		return err
	}
	if b.NextArg() {
		return b.fail("token_request", "takes a block and no arguments")
	}
	request := &b.provider.TokenRequest
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch option := b.Val(); option {
		case "param":
			err = b.param(request)
		case "header":
			err = b.header(request)
		case "method":
			err = b.template("token_request.method", &request.Method)
		case "encoding":
			err = b.template("token_request.encoding", &request.Encoding)
		case "timeout":
			err = b.text("token_request.timeout", &request.Timeout)
		case "retries":
			request.Retries = new(int)
			err = b.number("token_request.retries", request.Retries)
		case "retry_on":
			err = b.statuses(request)
		case "transport":
			err = b.transport("token_request.transport", &request.Transport)
		default:
			err = b.unknown(option, "token_request", "param", "header", "method", "encoding", "timeout", "retries", "retry_on", "transport")
		}
		if err != nil {
			return err
		}
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
			return b.fail(field, "is no list of HTTP statuses")
		}
		request.RetryOn = append(request.RetryOn, status)
	}
	return nil
}
