// Command echo is the application of the mesh tests of the Gateway API's
// conformance suite. Called "client" it sends requests and prints the answers;
// else it is the server, which answers with what it was asked. Both write lines
// Field=value as the suite reads them (sigs.k8s.io/gateway-api/conformance/utils/echo).
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	run := serve
	if filepath.Base(os.Args[0]) == "client" {
		run = call
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
