package main

import "testing"

// TestExitOfMisuse: what cannot be begun ends otherwise than what was looked at and is wrong.
func TestExitOfMisuse(t *testing.T) {
	for name, want := range map[string]int{"test": 2, "wait": 2, "diff": 2, "status": 1} {
		for _, args := range [][]string{{name, "--no-such-flag"}, {name}, {name, "a", "b", "c"}} {
			if name == "status" && len(args) == 1 || name == "test" && len(args) > 2 {
				continue // which it takes
			}
			root := newRoot()
			root.SetArgs(append(args, map[bool][]string{true: {"--kubeconfig", "/nonexistent"}, false: nil}[name == "wait"]...))
			if cmd, err := root.ExecuteContextC(t.Context()); err == nil || exit(cmd, err) != want {
				t.Errorf("%v: %v, want status %d", args, err, want)
			}
		}
	}
}
