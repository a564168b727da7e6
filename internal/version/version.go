// Package version says which Fairway this program is. It must import nothing of
// the project.
package version

import (
	"regexp"
	"runtime/debug"
)

// version is set by the linker (-X): what git says of the commit.
var version string

// String is the version of this program: "v1.2.3" of a release, what git or the
// Go tool says of another commit, "devel" when nobody knows.
func String() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

var release = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)\.?[0-9]+)?$`)

// Released says whether String is a version of which there are images.
func Released() bool { return version != "" && release.MatchString(version) }
