package informers

import "fmt"

// What one object may hold, counted before anything is made of its text: a
// value of JSON takes two bytes of text and some hundred of memory. An object
// of 1.5 MB as people write them, which is what an API server stores, has some
// 50,000 values; none of Istio's nests deeper than 20.
const (
	MaxValues = 100_000
	MaxDepth  = 100
)

// CheckText says why no object is made of a JSON text, which need not be
// well-formed: it holds more than so many values, or nests them deeper than
// MaxDepth. It reads the text once and keeps nothing of it.
func CheckText(js []byte, values int) error {
	count, depth, quoted := 1, 0, false
	for i := 0; i < len(js); i++ {
		if quoted {
			switch js[i] {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		}
		switch js[i] {
		case '"':
			quoted = true
		case '{', '[':
			depth++
			count++
		case '}', ']':
			depth--
		case ',':
			count++
		}
		if depth > MaxDepth {
			return fmt.Errorf("it nests values more than %d deep: make it flatter", MaxDepth)
		}
		if count > values {
			return fmt.Errorf("it holds more than %d values: split it into several objects", values)
		}
	}
	return nil
}
