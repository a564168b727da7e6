package informers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh"
)

// BenchmarkDirectoryChange is from the renaming of one file, of few or many, to
// the change in the sink.
func BenchmarkDirectoryChange(b *testing.B) {
	for _, files := range []int{10, 3000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			dir, tmp := b.TempDir(), filepath.Join(b.TempDir(), "tmp")
			write := func(i, port int) {
				text := strings.Replace(service(fmt.Sprintf("s%d", i)), "80", fmt.Sprint(port), 1)
				if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
					b.Fatal(err)
				}
				if err := os.Rename(tmp, filepath.Join(dir, fmt.Sprintf("s%d.yaml", i))); err != nil {
					b.Fatal(err)
				}
			}
			for i := range files {
				write(i, 80)
			}
			changes, synced := make(chan []mesh.Change, files), make(chan struct{})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- NewDirectory(DirConfig{Path: dir}).Run(ctx, func(c []mesh.Change) { changes <- c }, func() { close(synced) })
			}()
			<-synced
			for len(changes) > 0 {
				<-changes
			}
			port := 1000
			for b.Loop() {
				port++
				write(port%files, port)
				<-changes
			}
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
