package tokens

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// RoundTrip takes a token request over a network to the server, as http.Transport
// does: with its traces, and the body is read when the connection is there.
func (i *simulatedInstance) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(r.URL.Host)
	}
	if !sleep(ctx, i.network()) {
		return nil, ctx.Err()
	}
	if err := i.connect(); err != nil {
		return nil, err
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	form, _ := url.ParseQuery(string(body))
	// Whatever is checked was checked. Now it may stand still.
	frozen := i.freeze()
	i.thaw()
	return i.send(r, form, frozen)
}

// send takes what was written to the server, and its answer back.
func (i *simulatedInstance) send(r *http.Request, form url.Values, frozen time.Duration) (*http.Response, error) {
	ctx := r.Context()
	var status int
	var answer string
	var redeemed *rotation
	arrive := func() {
		if i.alive {
			status, answer, redeemed = i.s.server.redeem(i, form.Get("grant_type"), form.Get("refresh_token"), frozen)
		}
	}
	if !sleep(ctx, i.stall(i.s.world.server.stalls)) {
		// What is on its way may arrive when nobody waits for it any more.
		if frozen > 0 || i.draw(0.5) {
			time.AfterFunc(time.Duration(i.number(2000))*time.Millisecond, func() {
				i.s.do(func() { arrive(); redeemed.lose() })
			})
		}
		return nil, ctx.Err()
	}
	var lost bool
	i.s.do(func() {
		if i.dies(i.s.world.kills) {
			return
		}
		arrive()
		if lost = redeemed != nil && i.s.chance(i.random, i.s.world.server.lostAnswers); lost {
			redeemed.lose()
		}
	})
	if lost && i.draw(0.5) {
		return nil, &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	}
	if lost {
		<-ctx.Done()
	}
	if !sleep(ctx, i.stall(i.s.world.server.stallsAnswers)) {
		i.s.do(redeemed.lose)
		return nil, ctx.Err()
	}
	i.thaw()
	if err := i.receive(redeemed); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

func (r *rotation) lose() {
	if r != nil {
		r.lost = true
	}
}

// receive is the moment at which the instance gets an answer.
func (i *simulatedInstance) receive(redeemed *rotation) (err error) {
	i.s.do(func() {
		i.s.mayBreak(i, i.s.world.outages.atAnswers)
		if i.dies(i.s.world.killsAtAnswers) || !i.alive {
			err = errDead
			return
		}
		if redeemed != nil {
			i.unsaved = redeemed
		}
	})
	return err
}

// connect fails where nothing is sent.
func (i *simulatedInstance) connect() (err error) {
	i.s.do(func() {
		switch {
		case !i.alive:
			err = errDead
		case i.s.chance(i.random, i.s.world.server.unreachable):
			err = &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			i.s.note(i.name, "dial", "", err.Error(), nil)
		}
	})
	return err
}

// freeze makes the instance stand still, at some of its requests.
func (i *simulatedInstance) freeze() (d time.Duration) {
	i.s.do(func() {
		if freezes := i.s.world.freezes; len(freezes) > 0 && i.s.chance(i.random, 0.2) {
			d = freezes[i.random.IntN(len(freezes))]
			i.frozenUntil = time.Now().Add(d)
			i.s.note(i.name, "freeze", d.String(), "", nil)
		}
	})
	return d
}

// stall is how long one way over the network takes: long for the first instance.
func (i *simulatedInstance) stall(share float64) (d time.Duration) {
	i.s.do(func() {
		d = between(i.random, 5*time.Millisecond, 100*time.Millisecond)
		if i.slot == 0 && i.s.chance(i.random, share) {
			d = between(i.random, time.Second, 30*time.Second)
			i.s.note(i.name, "stall", d.String(), "", nil)
		}
	})
	return d
}

func (i *simulatedInstance) network() time.Duration { return i.stall(0) }

func (i *simulatedInstance) draw(share float64) bool { return i.number(1000) < int(share*1000) }

func (i *simulatedInstance) number(n int) (drawn int) {
	i.s.do(func() { drawn = i.random.IntN(n) })
	return drawn
}
