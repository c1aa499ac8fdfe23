package oauth2llm

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
)

// A resumedBody is a body of which the beginning has been read.
type resumedBody struct {
	io.Reader
	io.Closer
	closed atomic.Bool
}

// Read fails once the body is closed, even if all of it had been read: a body
// without a length would be sent once more as an empty one by reverse_proxy's
// retries, and the upstream would answer that (case U05).
func (b *resumedBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

func (b *resumedBody) Close() error {
	b.closed.Store(true)
	return b.Closer.Close()
}

// A memoryBody is a body that is in memory. net/http may read it after the
// request has been answered, so its bytes are never used again.
type memoryBody struct {
	bytes.Reader
	closed atomic.Bool
}

func newMemoryBody(content []byte) *memoryBody {
	return &memoryBody{Reader: *bytes.NewReader(content)}
}

// Read fails once the body is closed, as that of a resumedBody does.
func (b *memoryBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

func (b *memoryBody) Close() error {
	b.closed.Store(true)
	return nil
}
