package faults

import "os"

// Long tells whether tests of faults run in their long form, as `make
// test-faults` has them: FAIRWAY_FAULTS=long.
func Long() bool { return os.Getenv("FAIRWAY_FAULTS") == "long" }
