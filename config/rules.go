package config

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxNameLength bounds provider names, which become labels and paths.
const maxNameLength = 128

// checkName is the rule for provider names. "/" ends a provider's
// name in a model, "." and ".." mean something else in a path.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > maxNameLength:
		return errors.New("the name is longer than 128 bytes")
	case !plainName.MatchString(name):
		return errors.New(`the name may only hold letters, digits, ".", "_" and "-"`)
	case name == "." || name == "..":
		return errors.New(`the name must not be "." or ".."`)
	}
	return nil
}

// checkURL is the rule for token endpoints. The errors of
// url.Parse quote the URL.
func checkURL(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return errors.New("holds white space or a control character")
	}
	if strings.Contains(text, "#") {
		return errors.New("holds a fragment (#…), which a token endpoint must not have (RFC 6749 §3.2)")
	}
	address, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("must be a URL, such as https://host.example.com/path")
	case address.Scheme != "http" && address.Scheme != "https":
		return errors.New("must begin with https:// (or http://)")
	case address.User != nil:
		return errors.New("holds a user name or password; write them in client_id and client_secret")
	case address.Hostname() == "":
		return errors.New("has no host")
	case !validPort(address):
		return errors.New("has a port that is not from 1 to 65535")
	}
	return nil
}

// checkBaseURL is the rule for base URLs. A dot segment would be no part of the
// path that requests are kept in, and a host outside ASCII is spelled one way by
// whoever dials and another by whoever asks for a certificate.
func checkBaseURL(text string) error {
	if strings.Contains(text, "#") {
		return errors.New("holds a fragment (#…), which is never sent")
	}
	if err := checkURL(text); err != nil {
		return err
	}
	address, _ := url.Parse(text)
	for segment := range strings.SplitSeq(address.Path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("has a dot segment in its path")
		}
	}
	if strings.ContainsFunc(address.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return errors.New("has a host outside ASCII; write it as xn--…")
	}
	return nil
}

func validPort(address *url.URL) bool {
	if address.Port() == "" {
		return !strings.HasSuffix(address.Host, ":")
	}
	port, err := strconv.ParseUint(address.Port(), 10, 16)
	return err == nil && port > 0
}

// metadataHosts answer for a cloud's metadata on the machine that the gateway runs
// on, over plain HTTP only.
var metadataHosts = []string{"169.254.169.254", "fd00:ec2::254", "metadata.google.internal"}

// isPlainHTTP reports whether a token URL sends secrets over a network in the
// clear.
func isPlainHTTP(text string) bool {
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "http" {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(address.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !slices.Contains(metadataHosts, host)
	}
	return !slices.Contains(metadataHosts, host) && host != "localhost" && !strings.HasSuffix(host, ".localhost")
}

// checkScope is the rule for scopes: scope-tokens of RFC 6749 §3.3, separated
// by single spaces.
func checkScope(text string) error {
	for _, r := range text {
		if r != ' ' && (r < 0x21 || r == '"' || r == '\\' || r > 0x7E) {
			return errors.New(`holds a character that no scope may have: only printable ASCII without " and \ (RFC 6749 §3.3)`)
		}
	}
	if slices.Contains(strings.Split(text, " "), "") {
		return errors.New("holds an empty value: separate scopes by one space, with none at the beginning or end")
	}
	return nil
}

// IsHeaderName reports whether a text can be the name of an HTTP header: a
// token of RFC 9110 §5.6.2.
func IsHeaderName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// checkHeaderValue is the rule of RFC 9110 §5.5. A line break would begin
// another header.
func checkHeaderValue(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7F }) {
		return errors.New("holds a line break or another control character, which no header may have")
	}
	return nil
}

// connectionHeaders belong to a connection or frame a message: they are not
// forwarded, or net/http sets them itself (RFC 9110 §7.6.1).
var connectionHeaders = []string{
	"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func isConnectionHeader(name string) bool {
	return slices.Contains(connectionHeaders, http.CanonicalHeaderKey(name))
}
