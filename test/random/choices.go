package random

import "math/rand/v2"

// Choices is a sequence of decisions. They follow the bytes that it was made of
// and, when these are used up, a generator that the bytes seed.
type Choices struct {
	bytes []byte
	rest  *rand.Rand
}

// NewChoices makes the decisions of a seed and of bytes, which may be nil.
func NewChoices(seed uint64, bytes []byte) *Choices {
	return &Choices{bytes: bytes, rest: rand.New(rand.NewPCG(seed, uint64(len(bytes))))}
}

// N is a number from 0 to n-1; n must be above 0.
func (c *Choices) N(n int) int {
	if len(c.bytes) > 0 && n <= 256 {
		b := c.bytes[0]
		c.bytes = c.bytes[1:]
		return int(b) % n
	}
	return c.rest.IntN(n)
}

// One is true once in n times.
func (c *Choices) One(n int) bool { return c.N(n) == n-1 }

// pick is one element of a list, which must not be empty.
func pick[T any](c *Choices, of ...T) T { return of[c.N(len(of))] }
