package oauth2llm

import "net/http"

// FilterTrailer implements message.TrailerFilter.
func (f *credentialFilter) FilterTrailer(trailer http.Header) { f.filterTrailer(trailer) }

func removeOverrides(http.Header) {}
func onlyWebSocket(http.Header)   {}
