package rival

import (
	"testing"
	"time"
)

// TestPace has somebody undo each write at once, for an hour.
func TestPace(t *testing.T) {
	var p Pace
	now, told, writes := time.Now(), 0, 0
	for end := now.Add(time.Hour); now.Before(end); now = now.Add(10 * time.Millisecond) {
		if p.Wait("a", now) > 0 {
			continue
		}
		writes++
		if p.Wrote("a", now) {
			told++
		}
	}
	if writes < 15 || writes > 30 || told != 1 {
		t.Errorf("%d writes, told %d times", writes, told)
	}
	if p.Wait("b", now) != 0 {
		t.Error("what is new has to wait")
	}
	if now = now.Add(2*Forget + time.Second); p.Wait("a", now) != 0 {
		t.Error("it is not forgotten")
	}
}
