package linger

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// halfClosed is how long net/http waits between its FIN and its close.
const halfClosed = 500 * time.Millisecond

// The answer of Discard comes after the rest of the body was read or given up.
func answersAtOnce(way string) bool { return way != "Discard" }

// wantRefusalNow reads the answer if it comes before the rest of the body.
func (p *peer) wantRefusalNow(t *testing.T, way string) {
	t.Helper()
	if answersAtOnce(way) {
		p.wantRefusal(t)
	}
}

// sendRest sends the rest of a body, and reads the answer if it comes then.
func (p *peer) sendRest(t *testing.T, way, rest string) {
	t.Helper()
	if _, err := io.WriteString(p, rest); err != nil {
		t.Fatal(err)
	}
	if !answersAtOnce(way) {
		p.wantRefusal(t)
	}
}

// A slowSender sends a body piece by piece, as long as the server reads it.
type slowSender struct {
	fields string
	piece  string
	every  time.Duration
}

func TestASlowSenderHoldsAConnectionNoLongerThanTheBounds(t *testing.T) {
	for name, test := range map[string]struct {
		sender slowSender
		// given is when the rest of the body is given up.
		given time.Duration
	}{
		"silence":                              {slowSender{"Content-Length: 1000000", "x", time.Hour}, mostSilence},
		"silence in chunks":                    {slowSender{"Transfer-Encoding: chunked", "1\r\nx\r\n", time.Hour}, mostSilence},
		"silence in a short body":              {slowSender{"Content-Length: 100", "x", time.Hour}, mostSilence},
		"a byte in four seconds":               {slowSender{"Content-Length: 1000000", "x", 4 * time.Second}, mostTime},
		"a chunk in four seconds":              {slowSender{"Transfer-Encoding: chunked", "1\r\nx\r\n", 4 * time.Second}, mostTime},
		"a byte in four seconds, a short body": {slowSender{"Content-Length: 100", "x", 4 * time.Second}, mostTime},
		"a chunk in a millisecond":             {slowSender{"Transfer-Encoding: chunked", "1\r\nx\r\n", time.Millisecond}, mostTime},
	} {
		for way := range ways {
			t.Run(way+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
					p := network.dial()
					defer p.Close()
					started := time.Now()
					p.send(t, test.sender.fields, test.sender.piece)
					go test.sender.goOn(t.Context(), p)
					p.wantRefusal(t)
					if took := time.Since(started); answersAtOnce(way) && took > 0 || !answersAtOnce(way) && took != test.given {
						t.Errorf("the answer came after %v", took)
					}
					p.wantEnd(t)
					if held, want := time.Since(started), test.given+halfClosed; held != want {
						t.Errorf("the connection was held for %v, want %v", held, want)
					}
				})
			})
		}
	}
}

func (s slowSender) goOn(ctx context.Context, w io.Writer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.every):
		}
		if _, err := io.WriteString(w, s.piece); err != nil {
			return
		}
	}
}

// What the server reads is what goes through a connection in memory.
func TestAnEndlessSenderGetsRidOfSoManyBytes(t *testing.T) {
	// net/http may have read as much more into its buffer.
	const slack = 64 << 10
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
				p := network.dial()
				defer p.Close()
				p.send(t, "Transfer-Encoding: chunked", "")
				sent := make(chan int, 1)
				go func() {
					chunk := fmt.Sprintf("%x\r\n%s\r\n", 32<<10, strings.Repeat("x", 32<<10))
					total := 0
					for {
						n, err := io.WriteString(p, chunk)
						if total += n; err != nil {
							sent <- total
							return
						}
					}
				}()
				p.wantRefusal(t)
				p.wantEnd(t)
				if total := <-sent; total < mostBytes || total > mostBytes+mostBytes/1000+slack {
					t.Errorf("%d bytes were read, want %d", total, mostBytes)
				}
			})
		})
	}
}

func TestABodyThatSaysThatItIsTooLongIsNotWaitedForByDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := serveInMemory(t, &http.Server{Handler: refusing("Discard", nil)})
		p := network.dial()
		defer p.Close()
		started := time.Now()
		p.send(t, fmt.Sprintf("Content-Length: %d", mostBytes+1), "")
		if response := p.wantRefusal(t); !response.Close || time.Since(started) > 0 {
			t.Errorf("the answer came after %v; it says that the connection closes: %t", time.Since(started), response.Close)
		}
		p.wantEnd(t)
	})
}

func TestOnlySoManyConnectionsAreDrainedAtOnce(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
				var all []*peer
				for range mostConnections {
					p := network.dial()
					defer p.Close()
					p.send(t, "Content-Length: 1000000", "x")
					p.wantRefusalNow(t, way)
					all = append(all, p)
				}
				synctest.Wait()
				late := network.dial()
				defer late.Close()
				started := time.Now()
				late.send(t, "Content-Length: 1000000", "")
				late.wantRefusal(t)
				late.wantEnd(t)
				if held := time.Since(started); held != halfClosed {
					t.Errorf("the connection that is one too many was held for %v, want %v", held, halfClosed)
				}
				for _, p := range all {
					p.sendRest(t, way, strings.Repeat("x", 1000000-1))
					p.wantNextRequest(t)
				}
				next := network.dial()
				defer next.Close()
				next.send(t, "Content-Length: 10", "")
				next.wantRefusalNow(t, way)
				time.Sleep(time.Second)
				next.sendRest(t, way, "0123456789")
				next.wantNextRequest(t)
			})
		})
	}
}

func TestNoDeadlineIsLeftForTheNextRequest(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
				p := network.dial()
				defer p.Close()
				for range 2 {
					p.send(t, "Content-Length: 10", "01234")
					p.wantRefusalNow(t, way)
					time.Sleep(mostSilence - time.Second)
					p.sendRest(t, way, "56789")
					time.Sleep(time.Hour)
					p.wantNextRequest(t)
				}
			})
		})
	}
}

func TestADeadlineOfTheServerIsNotPutOff(t *testing.T) {
	const timeout = 2 * time.Second
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: refusing(way, nil), ReadTimeout: timeout})
				p := network.dial()
				defer p.Close()
				started := time.Now()
				p.send(t, "Content-Length: 1000000", "x")
				go slowSender{piece: "x", every: time.Second / 3}.goOn(t.Context(), p)
				p.wantRefusal(t)
				p.wantEnd(t)
				if held, want := time.Since(started), timeout+halfClosed; held != want {
					t.Errorf("the connection was held for %v, want %v", held, want)
				}
			})
		})
	}
}

func TestAClientThatHoldsItsBodyBackIsNotAskedForIt(t *testing.T) {
	for way := range ways {
		for name, length := range map[string]string{"with a length": "Content-Length: 1000000", "in chunks": "Transfer-Encoding: chunked"} {
			t.Run(way+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
					p := network.dial()
					defer p.Close()
					started := time.Now()
					p.send(t, "Expect: 100-continue\r\n"+length, "")
					// A 100 would be the first answer.
					p.wantRefusal(t)
					p.wantEnd(t)
					if held := time.Since(started); held != halfClosed {
						t.Errorf("the connection was held for %v, want %v", held, halfClosed)
					}
				})
			})
		}
	}
}

// One that was asked for is on its way.
func TestABodyThatWasAskedForIsDrained(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := serveInMemory(t, &http.Server{Handler: refusing(way, nil)})
				p := network.dial()
				defer p.Close()
				p.send(t, "Expect: 100-continue\r\nTest-Read: 1\r\nContent-Length: 1000000", "")
				p.want(t, http.MethodPost, http.StatusContinue, "")
				if _, err := io.WriteString(p, "x"); err != nil {
					t.Fatal(err)
				}
				p.wantRefusalNow(t, way)
				p.sendRest(t, way, strings.Repeat("x", 1000000-1))
				p.wantNextRequest(t)
			})
		})
	}
}
