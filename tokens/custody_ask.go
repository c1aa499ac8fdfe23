package tokens

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// ask uses the refresh token under an own claim; without one it is kept in memory.
func (c *custody) ask(ctx context.Context, r *redemption, own *claim, v view) (Token, error) {
	used := c.refreshToken()
	obtained := time.Now()
	got, err := r.send(ctx, own, used)
	failed, _ := errors.AsType[*AuthenticationError](err)
	if failed != nil && failed.once && own != nil && own.timeToAsk() > r.client.timeout() && elapsed(own.started) < own.window {
		// The server may have used it up: if so, many give the same answer again.
		c.log().Warn("a request with the refresh token had no answer, and is sent again",
			zap.String("provider", r.client.Provider), zap.Error(err))
		first := failed
		got, err = r.send(ctx, own, used)
		failed, _ = errors.AsType[*AuthenticationError](err)
		if err != nil && (failed == nil || failed.temporary) {
			// Whatever became of the second one, the first may have used it up.
			failed, err = first, first
		}
	}
	switch {
	case errors.Is(err, errLate) && (failed == nil || !failed.once):
		c.release(ctx, own)
		return Token{}, errLate
	case !got.refreshToken.Empty() && !got.refreshToken.Equal(used):
		return got.token, c.rotate(ctx, r, own, v, got, obtained, err)
	case err == nil:
		c.away = absence{}
		delete(c.refusals, r.identity)
		if own != nil {
			own.finish(ctx)
		}
		return got.token, nil
	case failed == nil:
		// Nothing was sent.
		c.release(ctx, own)
		return Token{}, err
	case failed.Code == CodeInvalidGrant:
		return c.refused(ctx, r, own, failed)
	case !failed.temporary:
		c.remember(r, failed)
		c.release(ctx, own)
		return Token{}, failed
	case failed.once:
		c.stayAway(r, own, failed)
		return Token{}, failed
	}
	c.release(ctx, own)
	return Token{}, failed
}

// send makes the token request, in the time that the claim leaves.
func (r *redemption) send(ctx context.Context, own *claim, refreshToken Secret) (answer, error) {
	timeout := r.client.timeout()
	if own != nil {
		if own.late() {
			return answer{}, errLate
		}
		timeout = min(timeout, own.timeToAsk())
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.asked = true
	var late func() bool
	if own != nil {
		late = own.late
	}
	return r.client.request(ctx, GrantRefreshToken, refreshToken, late)
}

var errLate = errors.New("the storage, or the connection to the token endpoint, is too slow to use the refresh token safely")

// release deletes the own claim. Abandoned ones stay: their owners may still be saving.
func (c *custody) release(ctx context.Context, own *claim) {
	if own != nil {
		own.release(ctx)
	}
}

// rotate keeps a new refresh token, and stores it before its access token is used.
// One that cannot be stored is not lost while the process lives: its claim stands, and
// storing is tried again. err is what was wrong with the access token beside it.
func (c *custody) rotate(ctx context.Context, r *redemption, own *claim, v view, got answer, obtained time.Time, err error) error {
	number := c.held.Generation
	if generations := numbered(v.names, generationPrefix); len(generations) > 0 {
		number = max(number, generations[0])
	}
	number++
	var token *storedToken
	if err == nil {
		stored := newStoredToken(got.token, obtained)
		token = &stored
	}
	if own != nil {
		// One that was passed may still store the number that it has in mind.
		number += len(own.passed)
	}
	c.held = c.successor(number, got.refreshToken, r.identity, token)
	c.away = absence{}
	delete(c.refusals, r.identity)
	if own == nil {
		c.warnOfMemory(r)
		return err
	}
	// The server has used the old one up: whoever waits no longer must not lose it.
	ctx = context.WithoutCancel(ctx)
	if failure := c.write(ctx); failure != nil {
		c.unsaved = own
		own.leave(time.Now().Add(farAway))
		c.log().Error("the new refresh token cannot be saved: it is kept in memory, and saving is tried again until it works; if the process ends before, the grant is lost",
			zap.String("provider", r.client.Provider), zap.Error(failure))
		go c.keepSaving() //nolint:gosec // it outlives the request, and so must the refresh token
		return err
	}
	c.log().Debug("the refresh token was replaced and saved", zap.String("provider", r.client.Provider), zap.Int("generation", number))
	own.finish(ctx)
	c.sweep(ctx, v.names)
	return err
}

// farAway is longer than a claim stands whose record is being saved.
const farAway = 365 * 24 * time.Hour

func (c *custody) warnOfMemory(r *redemption) {
	if c.warned {
		return
	}
	c.warned = true
	r.client.logger().Warn("the authorization server replaces the refresh token, and the storage cannot be written to: the newest is kept in memory only and lost when this process ends",
		zap.String("provider", r.client.Provider))
}

// refused deals with a server that does not know the refresh token any more. Another
// instance may have gone on with it.
func (c *custody) refused(ctx context.Context, r *redemption, own *claim, failed *AuthenticationError) (Token, error) {
	if own == nil {
		c.ended = max(c.ended, c.held.Generation)
		return Token{}, failed
	}
	used := c.held.Generation
	v, err := own.lookAround(ctx)
	if err == nil {
		_, _, err = c.adopt(ctx, r, v, own)
	}
	if err == nil && c.held.Generation > used && !r.anew {
		r.anew = true
		own.release(ctx)
		// All steps again, as for a claim of another that has just ended.
		return Token{}, errClaimed
	}
	c.ended = max(c.ended, used)
	if err == nil {
		err = c.writeEnded(context.WithoutCancel(ctx), used)
	}
	if err != nil {
		c.log().Error("cannot note for other instances that the refresh token was refused", zap.String("provider", r.client.Provider), zap.Error(err))
	}
	c.log().Error("the refresh token was refused and is used no more: put a new one into the configuration",
		zap.String("provider", r.client.Provider), zap.Error(failed))
	c.release(ctx, own)
	return Token{}, failed
}

// remember keeps a final refusal from being asked for again while there is something
// to fall back to.
func (c *custody) remember(r *redemption, failed *AuthenticationError) {
	if !failed.refusesRefreshToken() {
		return
	}
	known := c.refusals[r.identity]
	if known == nil {
		known = &refusedRequest{}
		c.refusals[r.identity] = known
	}
	known.streak++
	known.failure = failed
	known.until = time.Now().Add(backoff(false, known.streak))
}

// stayAway lets the claim stand: the server may have used the refresh token up.
func (c *custody) stayAway(r *redemption, own *claim, failed *AuthenticationError) {
	if own == nil {
		return
	}
	length := own.promise + absenceMargin
	if c.away.length > 0 {
		length = min(max(2*c.away.length, length), absenceLimit)
	}
	c.away = absence{until: time.Now().Add(length), length: length, failure: failed}
	own.leave(c.away.until)
	c.log().Warn("a request with the refresh token had no answer: whether it was used up is uncertain, and it is left alone for a while",
		zap.String("provider", r.client.Provider), zap.Duration("next_attempt_in", length), zap.Error(failed))
}

// refusesRefreshToken reports whether a failure is the server's word against the refresh
// token, or may be: not against the client, which would fall back with the same
// credentials, and not a fault of the connection or of a good answer. Some servers say
// unauthorized_client of a client that has not proved who it is.
func (e *AuthenticationError) refusesRefreshToken() bool {
	return !e.temporary && e.Code != CodeInvalidClient && e.Code != CodeInvalidResponse && e.Code != CodeUntrusted &&
		(e.Code != CodeUnauthorizedClient || e.Status != http.StatusUnauthorized)
}
