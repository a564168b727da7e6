package translate

import "math"

// scaledWeights are weights as Envoy takes them: all of a choice together are no more
// than 32 bits hold. Larger ones are divided alike, so that the shares stay, and none
// but zero becomes zero.
func scaledWeights(weights []uint64) []uint32 {
	sum := 0.0
	for _, w := range weights {
		sum += float64(w)
	}
	factor := 1.0
	if most := float64(math.MaxUint32 - len(weights)); sum > most { // a little less: some are rounded up to one
		factor = most / sum
	}
	out := make([]uint32, len(weights))
	for i, w := range weights {
		if out[i] = uint32(float64(w) * factor); out[i] == 0 && w > 0 {
			out[i] = 1
		}
	}
	return out
}
