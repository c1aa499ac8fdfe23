package caddytest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A manner is how an upstream treats the requests that come over a connection.
type manner int

const (
	// answers: each is answered.
	answers manner = iota
	// drops: each is read to its end, and its connection closed.
	drops
	// resets: the connections that have answered by now are dead, which the next
	// request learns from a reset; new ones answer.
	resets
	// tires: one in four times, a connection that has answered before turns out to be
	// dead.
	tires
)

// A droppingLLM speaks HTTP/1.1 on a raw socket, and counts what arrives.
type droppingLLM struct {
	net.Listener
	scheme string
	auth   *authServer

	mu     sync.Mutex
	manner manner
	// gathered are requests that are answered together, when there are so many.
	gather   int
	gathered chan struct{}
	open     map[net.Conn]bool
	// begun counts connections that a request has begun to arrive over, whole are
	// the headers of those that came to their end.
	begun int
	whole []http.Header
	// answered counts the answers, died is what it was when connections died; next is
	// the manner after one more answer, if it is set.
	answered, died int
	next           *manner
}

// newDroppingLLM starts one that speaks TLS if there is a configuration.
func newDroppingLLM(t *testing.T, auth *authServer, config *tls.Config) *droppingLLM {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &droppingLLM{Listener: listener, auth: auth, scheme: "http", open: make(map[net.Conn]bool)}
	if config != nil {
		l.Listener, l.scheme = tls.NewListener(listener, config), "https"
	}
	t.Cleanup(func() {
		l.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for connection := range l.open {
			connection.Close()
		}
	})
	go func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.open[connection] = true
			l.mu.Unlock()
			go l.serve(connection)
		}
	}()
	return l
}

func (l *droppingLLM) url() string { return l.scheme + "://" + l.Addr().String() }

// become changes the manner, and forgets what has arrived.
func (l *droppingLLM) become(m manner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manner, l.begun, l.whole, l.died = m, 0, nil, l.answered
}

// then changes the manner once the next request is answered.
func (l *droppingLLM) then(m manner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = &m
}

// arrived is how many requests have begun to arrive, and the headers of those that
// came to their end.
func (l *droppingLLM) arrived() (begun int, whole []http.Header) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun, slices.Clone(l.whole)
}

func (l *droppingLLM) serve(connection net.Conn) {
	defer func() {
		connection.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, connection)
	}()
	reader := bufio.NewReader(connection)
	for last := 0; ; {
		if _, err := reader.Peek(1); err != nil {
			return
		}
		if l.begins(last) {
			reset(connection)
			return
		}
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if l.ends(r) == drops {
			return
		}
		status := "200 OK"
		if _, problem := l.auth.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); problem != "" {
			status = "401 Unauthorized"
		}
		last = l.answers()
		if _, err := fmt.Fprintf(connection, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", status); err != nil {
			return
		}
	}
}

// reset ends a connection with a TCP reset.
func reset(connection net.Conn) {
	if encrypted, ok := connection.(*tls.Conn); ok {
		connection = encrypted.NetConn()
	}
	_ = connection.(*net.TCPConn).SetLinger(0)
	connection.Close()
}

// begins notes that a request begins to arrive, over a connection whose last answer
// has this number, 0 if it has given none. It reports whether the connection was dead
// already.
func (l *droppingLLM) begins(last int) (dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
	switch {
	case last == 0:
		return false
	case l.manner == tires:
		return rand.N(4) == 0
	}
	return l.manner == resets && last <= l.died
}

// answers notes that a request is answered, and returns the number of the answer.
func (l *droppingLLM) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered++
	if l.next != nil {
		l.manner, l.next = *l.next, nil
	}
	return l.answered
}

// ends notes that a request has arrived, and waits for those that it is gathered
// with.
func (l *droppingLLM) ends(r *http.Request) manner {
	l.mu.Lock()
	header := r.Header.Clone()
	l.whole = append(l.whole, header)
	wait := l.gathered
	if l.gather > 0 {
		if l.gather--; l.gather == 0 {
			close(wait)
		}
	}
	m := l.manner
	l.mu.Unlock()
	if wait != nil && m == answers {
		<-wait
	}
	return m
}

// warm makes the gateway keep so many idle connections.
func (l *droppingLLM) warm(t *testing.T, g *gateway, connections int) {
	t.Helper()
	l.become(answers)
	l.mu.Lock()
	l.gather, l.gathered = connections, make(chan struct{})
	l.mu.Unlock()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			if a := g.post("/v1/chat/completions", chat("corp/m"), withKey...); a.status != http.StatusOK {
				t.Errorf("status %d, %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	l.mu.Lock()
	l.gathered = nil
	l.mu.Unlock()
	if t.Failed() {
		t.FailNow()
	}
	waitFor(t, 10*time.Second, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.open) >= connections
	})
}
