package parallel

import (
	"sync/atomic"
	"testing"
)

func TestEachIsCalledOnce(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		calls := make([]atomic.Int32, n)
		Each(n, func(i int) { calls[i].Add(1) })
		for i := range calls {
			if calls[i].Load() != 1 {
				t.Fatalf("of %d: %d is called %d times", n, i, calls[i].Load())
			}
		}
	}
}
