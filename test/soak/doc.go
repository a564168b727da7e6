// Package soak lets a control plane live through a long time of random changes,
// with proxies that come and go, and compares what it holds then with what one
// holds that has just been started:
//
//	make soak DURATION=1h
//
// The control plane is the program as it is shipped, and it reads a real API
// server. What is drawn follows from a seed. This is not part of what CI runs: what
// grows by a little with each change shows only after many.
package soak
