package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairway-mesh/fairway/internal/envoyfetch"
	"github.com/fairway-mesh/fairway/internal/inject"
)

// The images of the mesh, by the names that the samples and the injector use.
var (
	FairwayImage = inject.DefaultParams().InitImage
	ProxyImage   = inject.DefaultParams().ProxyImage
)

// Images builds Fairway as the version and returns its image, which has the tags
// latest and version, is the image of the sample applications too and holds
// /load and /peer for tests, and that of stock Envoy, found or fetched as the
// local mesh does.
func Images(ctx context.Context, version string, progress io.Writer) ([]Image, error) {
	envoy, err := envoyfetch.Path(ctx, envoyfetch.Version)
	if err != nil {
		return nil, err
	}
	proxy, err := EnvoyImage(ctx, ProxyImage, envoy)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(progress, "building fairway")
	image, err := Release(ctx, version)
	if err != nil {
		return nil, err
	}
	image.Name, image.Aliases = FairwayImage, []string{image.Name}
	for name, pkg := range map[string]string{"load": "test/cluster/load/command", "peer": "test/cluster/peer"} {
		at := filepath.Join(filepath.Dir(image.Files["/fairway"]), name)
		if err := buildCommand(ctx, pkg, "", at); err != nil {
			return nil, err
		}
		image.Files["/"+name] = at
	}
	return []Image{image, proxy}, nil
}

// Release is the image of Fairway as a version, as the Dockerfile makes it.
func Release(ctx context.Context, version string) (Image, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Image{}, fmt.Errorf("finding a place for Fairway's image: %w: set XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "fairway", "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Image{}, err
	}
	at := filepath.Join(dir, "fairway-"+version)
	if err := buildCommand(ctx, "cmd/fairway", version, at); err != nil {
		return Image{}, err
	}
	repository, _, _ := strings.Cut(FairwayImage, ":")
	return Image{Name: repository + ":" + version, Entrypoint: []string{"/fairway"}, User: "65532", Files: map[string]string{"/fairway": at}}, nil
}
