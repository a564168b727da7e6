// Command package writes the Helm chart into dist/: see make chart.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairway-mesh/fairway/test/chart"
)

func main() {
	version := flag.String("version", "dev", "what git says of the commit")
	dir := flag.String("directory", "dist", "where the package goes")
	flag.Parse()
	old, _ := filepath.Glob(filepath.Join(*dir, "fairway-*.tgz")) // so that dist/fairway-*.tgz is one file
	for _, f := range old {
		os.Remove(f)
	}
	file, err := chart.Package(context.Background(), *dir, *version)
	if err != nil {
		fmt.Fprintln(os.Stderr, "packaging the chart:", err)
		os.Exit(1)
	}
	fmt.Println(file)
}
