package linger

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A deadlineWriter keeps the deadline that it was given.
type deadlineWriter struct {
	http.ResponseWriter
	deadline time.Time
}

func (w *deadlineWriter) SetReadDeadline(deadline time.Time) error {
	w.deadline = deadline
	return nil
}

func TestTheOutermostDeadlineIsTheOneThatIsSet(t *testing.T) {
	recorder := httptest.NewRecorder()
	inner := &deadlineWriter{ResponseWriter: wrapped{recorder}}
	outer := &deadlineWriter{ResponseWriter: inner}
	if found, ok := find[readDeadline](wrapped{outer}); !ok || found != outer {
		t.Errorf("found %v, want the outer one", found)
	}
	if _, ok := find[readDeadline](wrapped{recorder}); ok {
		t.Error("found a deadline where there is none")
	}
	if got := innermost(wrapped{wrapped{recorder}}); got != recorder {
		t.Errorf("the innermost is %v", got)
	}
}

func TestHangUpSaysThatTheConnectionCloses(t *testing.T) {
	w := &deadlineWriter{ResponseWriter: httptest.NewRecorder()}
	hangUp(w)
	if w.Header().Get("Connection") != "close" || !w.deadline.Equal(past) {
		t.Errorf("Connection is %q, the deadline %v", w.Header().Get("Connection"), w.deadline)
	}
}
