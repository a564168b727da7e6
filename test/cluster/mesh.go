package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
	"github.com/fairway-mesh/fairway/internal/inject"
)

// The images of the mesh, by the names that the samples and the injector use.
var (
	FairwayImage = inject.DefaultParams().InitImage
	ProxyImage   = inject.DefaultParams().ProxyImage
)

// Images builds Fairway and returns its image (which is the image of the sample
// applications, too, and holds /load and /peer; $FAIRWAY may name a static binary to take) and that of stock Envoy, found or fetched as
// the local mesh does.
func Images(ctx context.Context, progress io.Writer) ([]Image, error) {
	envoy, err := envoyfetch.Path(ctx, envoyfetch.Version)
	if err != nil {
		return nil, err
	}
	proxy, err := EnvoyImage(ctx, ProxyImage, envoy)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding a place for Fairway's image: %w: set XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "fairway", "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	fmt.Fprintln(progress, "building fairway")
	files := map[string]string{}
	for name, pkg := range map[string]string{"fairway": "cmd/fairway", "load": "test/cluster/load/command", "peer": "test/cluster/peer"} {
		at := filepath.Join(dir, name)
		if built := os.Getenv("FAIRWAY"); name == "fairway" && built != "" {
			files["/"+name] = built
			continue
		}
		if err := buildCommand(ctx, pkg, at); err != nil {
			return nil, err
		}
		files["/"+name] = at
	}
	return []Image{{Name: FairwayImage, Entrypoint: []string{"/fairway"}, User: "65532", Files: files}, proxy}, nil
}
