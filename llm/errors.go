package llm

import "net/http"

// Words for the member `type` of an error body.
const (
	// TypeInvalidRequest: the client has to change its request.
	TypeInvalidRequest = "invalid_request_error"
	// TypeAuthentication: the client's key for the gateway is wrong.
	TypeAuthentication = "authentication_error"
	// TypePermission: the client's key may not do this.
	TypePermission = "permission_error"
	// TypeOAuth2Configuration: the operator has to change the gateway.
	TypeOAuth2Configuration = "oauth2_configuration_error"
	// TypeOAuth2Authentication: the gateway got no access token.
	TypeOAuth2Authentication = "oauth2_authentication_error"
	// TypeUpstream: the LLM refused the gateway or could not be reached.
	TypeUpstream = "upstream_error"
	// TypeOverloaded: the gateway has no room for the request right now.
	TypeOverloaded = "overloaded_error"
)

// Words for the member `code` of an error body that blames the request.
const (
	// CodeModelRequired: the request names no model, and none is assumed.
	CodeModelRequired = "model_required"
	// CodeAmbiguousModel: the request names several models, or one in a way
	// that servers read differently.
	CodeAmbiguousModel = "ambiguous_model"
	// CodeInvalidBody: the body, or the model in it, cannot be read.
	CodeInvalidBody = "invalid_body"
	// CodeInvalidPath: the URL, or the model in it, cannot be read.
	CodeInvalidPath = "invalid_path"
	// CodeBodyTooLarge: the body is larger than the gateway accepts.
	CodeBodyTooLarge = "body_too_large"
	// CodeUnsupportedEncoding: the body has a content coding that the gateway
	// does not know.
	CodeUnsupportedEncoding = "unsupported_encoding"
	// CodeUnsupportedContentType: servers would read different things from a
	// body of this content type.
	CodeUnsupportedContentType = "unsupported_content_type"
	// CodeModelNotFound: the gateway has no such model.
	CodeModelNotFound = "model_not_found"
)

// A RequestError says what is wrong with a request. Its message is for the
// client: it says what to change and repeats nothing that the client sent.
type RequestError struct {
	Code    string
	Message string
}

func (e *RequestError) Error() string { return e.Message }

// Status is the HTTP status that goes with the code.
func (e *RequestError) Status() int {
	switch e.Code {
	case CodeBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnsupportedEncoding, CodeUnsupportedContentType:
		return http.StatusUnsupportedMediaType
	case CodeModelNotFound:
		return http.StatusNotFound
	default:
		return http.StatusBadRequest
	}
}

// ErrorBody is the answer to a failed request, in the one shape that the SDKs
// of OpenAI and Anthropic both read:
//
//	{"type":"error","error":{"message":…,"type":…,"param":null,"code":…},"request_id":…}
type ErrorBody struct {
	Type      string
	Code      string
	Message   string
	RequestID string
}

// AppendJSON appends the body to dst.
func (e ErrorBody) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"type":"error","error":{"message":`...)
	dst = appendQuoted(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = appendQuoted(dst, e.Type)
	dst = append(dst, `,"param":null,"code":`...)
	dst = appendQuoted(dst, e.Code)
	dst = append(dst, `},"request_id":`...)
	dst = appendQuoted(dst, e.RequestID)
	return append(dst, '}')
}
