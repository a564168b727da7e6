// Package chart makes the Helm chart of charts/fairway complete: with the
// definitions of the Istio API from the Go module that go.mod names, and with a
// version. "make chart" and the tests of the chart use it.
//
// It must never write into the source tree.
package chart
