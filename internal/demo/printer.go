//go:build linux

package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// printer writes the course of the tutorials for a person to read.
type printer struct {
	w        io.Writer
	terminal bool // colour, and a line of progress that changes in place

	mu       sync.Mutex
	progress bool // such a line is shown
	last     time.Time
}

const (
	bold, green, red, faint, reset = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
	// quiet is how often progress is told where it cannot be shown in place.
	quiet = 10 * time.Second
)

func (p *printer) paint(style, text string) string {
	if !p.terminal {
		return text
	}
	return style + text + reset
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// erase removes the line of progress. Called with mu held.
func (p *printer) erase() {
	if p.progress {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.progress = false
	}
}

func (p *printer) title(letter, title string) {
	p.line("\n%s", p.paint(bold, letter+". "+title))
}

func (p *printer) step(n int, title, command string) {
	p.line("  %d. %s", n, title)
	if command != "" {
		p.line("     %s", p.paint(faint, "$ "+command))
	}
}

func (p *printer) check(c Check) {
	mark, words := p.paint(green, "✓"), "seen"
	if !c.OK {
		mark, words = p.paint(red, "✗"), p.paint(red, "but seen")
	}
	p.line("     %s %s", mark, c.Must)
	if c.Seen != "" {
		p.line("       %s: %s", words, strings.ReplaceAll(c.Seen, "\n", "\n       "))
	}
}

// tell shows how far something long has come: in place on a terminal, now and
// then elsewhere.
func (p *printer) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K     "+format, args...)
		p.progress = true
	case time.Since(p.last) > quiet:
		fmt.Fprintf(p.w, "     "+format+"\n", args...)
		p.last = time.Now()
	}
}
