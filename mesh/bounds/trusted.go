package bounds

import "slices"

// Certificates of authorities are sent to a proxy once, and each of its clusters and filter
// chains that trusts them parses them for itself: what multiplies is the proxy's memory. Stock
// Envoy 1.40 takes about 1.3 bytes for each byte of PEM × clusters (28 MB for 220 KB × 100).
const (
	MaxTrusted      = 64 << 20  // bytes of certificates × clusters or filter chains that trust them, of the objects of a namespace
	MaxTrustedInAll = 128 << 20 // … of all
)

// Share is how much each of several may have when none may have more than each, nor all
// together more than all: those who ask for most give way first.
func Share(sums []int, each, all int) int {
	sums = slices.Sorted(slices.Values(sums))
	for i, sum := range sums {
		level := all / (len(sums) - i)
		if min(sum, each) >= level {
			return level
		}
		all -= min(sum, each)
	}
	return each
}
