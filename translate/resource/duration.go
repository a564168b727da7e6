package resource

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// Positive is the duration if it is one that Envoy takes and more than zero;
// nil otherwise.
func Positive(d *durationpb.Duration) *durationpb.Duration {
	if d == nil || !Countable(d) || d.AsDuration() == 0 {
		return nil
	}
	return d
}

// Countable tells whether the duration, zero included, is one that Envoy takes.
func Countable(d *durationpb.Duration) bool {
	return d.CheckValid() == nil && d.AsDuration() >= 0 && d.AsDuration() <= traffic.MaxDuration
}

// The pace of name resolution: failed look-ups are repeated after about a
// minute, successful ones when the record's TTL ends.
const (
	DNSRetry    = 60 * time.Second
	DNSRetryMax = 120 * time.Second
)
