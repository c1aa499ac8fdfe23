package message

import "net/http"

// A TrailerFilter takes out of trailers what must not be forwarded.
type TrailerFilter interface{ FilterTrailer(trailer http.Header) }

// guard makes the filter the one of the body's trailers.
func (m *Message) guard(filter TrailerFilter) {
	m.filter = filter
	m.filterTrailer()
}

// filterTrailer filters the trailers, or their announcement, as they are now.
func (m *Message) filterTrailer() {
	if m.filter != nil && len(m.trailer) > 0 {
		m.filter.FilterTrailer(m.trailer)
	}
}
