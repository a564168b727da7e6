package faults

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// answer passes on what the API server answers, as the fault of the moment
// lets it.
type answer struct {
	http.ResponseWriter
	proxy   *Proxy
	what    request
	ctx     context.Context
	end     context.CancelFunc
	streams bool // it consists of events
	listing bool // its first events stand for a list
	code    int
	sent    int
	ended   atomic.Bool // in good order, by a fault
	rest    []byte      // the beginning of an event that is not whole
	whole   bytes.Buffer
	keeps   bool // the body is kept until it is whole
	nth     int  // of the events that stand for a list
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) {
	a.code = code
	f, _ := a.proxy.fault(a.what)
	a.keeps = (f.Half && a.what.verb == List || f.Body != nil && !a.streams) && code == http.StatusOK
	if f.Encoding != "" {
		a.Header().Set("Content-Encoding", f.Encoding)
	}
	if a.keeps || f.CutAfter > 0 || f.Truncate > 0 {
		a.Header().Del("Content-Length")
	}
	a.ResponseWriter.WriteHeader(code)
	a.Flush()
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	switch {
	case a.keeps:
		a.whole.Write(b)
	case a.streams && a.code == http.StatusOK:
		if err := a.events(b); err != nil {
			return 0, err
		}
	default:
		if err := a.send(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (a *answer) finish() {
	if !a.keeps {
		return
	}
	body := a.whole.Bytes()
	f, _ := a.proxy.fault(a.what)
	if f.Half {
		body = edit(body, func(i int, _ map[string]any) bool { return i%2 == 0 })
	}
	if f.Body != nil {
		body = f.Body(body)
	}
	_ = a.send(body)
}

// events takes what has come of a watch and sends the events that are whole.
func (a *answer) events(b []byte) error {
	a.rest = append(a.rest, b...)
	for {
		event, rest, ok := a.cutEvent(a.rest)
		if !ok {
			return nil
		}
		if err := a.event(event); err != nil {
			return err
		}
		a.rest = rest
	}
}

func (a *answer) protobuf() bool {
	return strings.Contains(a.Header().Get("Content-Type"), "protobuf")
}

// cutEvent cuts the first event off: a line of JSON, or the length in four bytes
// and a message.
func (a *answer) cutEvent(b []byte) (event, rest []byte, ok bool) {
	if !a.protobuf() {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil, b, false
		}
		return b[:i+1], b[i+1:], true
	}
	if len(b) < 4 {
		return nil, b, false
	}
	n := 4 + int(b[0])<<24 + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
	if len(b) < n {
		return nil, b, false
	}
	return b[:n], b[n:], true
}

// event sends one event of a watch, unless it is lost.
func (a *answer) event(b []byte) error {
	f, err := a.proxy.unhung(a.ctx, a.what)
	if err != nil {
		return err
	}
	bookmark := a.isBookmark(b)
	if a.listing {
		if bookmark {
			a.listing = false // what follows is news
			return a.send(b)
		}
		a.nth++
		if f.Half && a.nth%2 == 0 {
			return nil
		}
		return a.send(b)
	}
	switch {
	case f.Expired:
		a.expire()
		return context.Canceled
	case bookmark && f.LoseBookmarks, !bookmark && f.LoseEvents:
		return nil
	case f.Events != nil:
		for _, e := range f.Events(unframed(b, a.protobuf())) {
			if err := a.send(e.framed()); err != nil {
				return err
			}
		}
		return nil
	}
	return a.send(b)
}

// isBookmark looks at the type of an event, which comes first in either form.
func (a *answer) isBookmark(b []byte) bool {
	if a.protobuf() {
		return bytes.HasPrefix(b[4:], []byte("\x0a\x08BOOKMARK"))
	}
	return bytes.HasPrefix(b, []byte(`{"type":"BOOKMARK"`))
}

// expire ends a watch with the event that says that its version is too old.
func (a *answer) expire() {
	_ = a.send(expired(a.protobuf()))
	a.ended.Store(true)
	a.end()
}

// send sends bytes as fast as they may go, as many as may.
func (a *answer) send(b []byte) error {
	f, err := a.proxy.unhung(a.ctx, a.what)
	if err != nil {
		return err
	}
	limit := max(f.CutAfter, f.Truncate)
	broken := limit > 0 && a.sent+len(b) > limit
	if broken {
		b = b[:max(0, limit-a.sent)]
	}
	a.sent += len(b)
	for len(b) > 0 {
		f, _ := a.proxy.fault(a.what) // it may have been lifted meanwhile
		n := len(b)
		if f.BytesPerSecond > 0 {
			n = min(n, max(1, f.BytesPerSecond/10))
			select {
			case <-time.After(time.Duration(n) * time.Second / time.Duration(f.BytesPerSecond)):
			case <-a.ctx.Done():
				return a.ctx.Err()
			}
		}
		if _, err := a.ResponseWriter.Write(b[:n]); err != nil {
			return err
		}
		a.Flush()
		b = b[n:]
	}
	if !broken {
		return nil
	}
	a.ended.Store(f.CutAfter == 0)
	a.end()
	panic(http.ErrAbortHandler)
}

// endWhenAsked ends a running watch by faults that do not wait for an event.
func (a *answer) endWhenAsked() {
	began := time.Now()
	for {
		f, changed := a.proxy.fault(a.what)
		var at <-chan time.Time
		if f.EndAfter > 0 {
			at = time.After(time.Until(began.Add(f.EndAfter)))
		}
		select {
		case <-changed:
		case <-at:
			a.ended.Store(true)
			a.end()
			return
		case <-a.ctx.Done():
			return
		}
	}
}
