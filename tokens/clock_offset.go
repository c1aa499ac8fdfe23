package tokens

import (
	"net/http"
	"time"
)

// clockTolerance is how far clocks may differ without being named as the cause of a
// refusal.
const clockTolerance = 5 * time.Second

// serverClockOffset is how far a server's clock is ahead of ours, by the Date of its
// answer (RFC 9110 §6.6.1); 0 where nothing shows that it differs by more than the
// tolerance. The server has written the date between the moments when the request was
// sent and when the answer was there; a date has whole seconds.
func serverClockOffset(header http.Header, sent, received time.Time) time.Duration {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	if ahead := date.Sub(received.Truncate(time.Second)); ahead > clockTolerance {
		return ahead
	}
	if ahead := date.Sub(sent.Truncate(time.Second)); ahead < -clockTolerance {
		return ahead
	}
	return 0
}

// signs reports whether a JWT is signed for each token request.
func (c *Client) signs() bool { return c.Signed || c.ClientAssertion != nil }
