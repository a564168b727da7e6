package informers

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 256 << 20

// file is what is known of one file of the directory.
type file struct {
	path  string // below the directory, with slashes
	stamp stamp
	sum   [sha256.Size]byte
	// complete tells that all of the content could be read once; from then on a
	// broken version of the file is not taken up, in no part.
	complete  bool
	documents map[[sha256.Size]byte]*document // by their text, so that only those that changed are read again
	objects   []*written
	unknown   []schema.GroupKind
	findings  []object.Finding // of the file and all its objects
}

// maxBroken bounds how many documents of one file are reported.
const maxBroken = 20

// stamp tells versions of a file apart without reading them.
type stamp struct {
	size     int64
	modified time.Time
	info     os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.info != nil && o.info != nil && s.size == o.size && s.modified.Equal(o.modified) && os.SameFile(s.info, o.info)
}

// errBeingWritten says that a writer has the file open: what stands in it now
// is not what it will be.
var errBeingWritten = fmt.Errorf("the file is being written")

// readFile reads a whole file, unless it is open for writing and patient is set.
func readFile(path string, patient bool) ([]byte, stamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	if !before.Mode().IsRegular() {
		return nil, stamp{}, fmt.Errorf("%s is not a file", path)
	}
	if before.Size() > maxFile {
		return nil, stamp{}, fmt.Errorf("%s is larger than %d bytes: split it", path, maxFile)
	}
	if patient && beingWritten(f, before) {
		return nil, stamp{}, errBeingWritten
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, stamp{}, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	s := stamp{before.Size(), before.ModTime(), before}
	if patient && !s.same(stamp{after.Size(), after.ModTime(), after}) {
		return nil, stamp{}, errBeingWritten
	}
	return text, s, nil
}

// quietFor is how long a file must not have changed to be taken as written,
// where the system cannot tell whether somebody has it open.
const quietFor = 5 * time.Millisecond

func quiet(info os.FileInfo) bool {
	age := time.Since(info.ModTime())
	return age < 0 || age >= quietFor
}

// update reads a new version of the file's text. The file itself is left as it
// is, since it may be kept: the result is another one.
func (f *file) update(p *parser, text []byte, s stamp) *file {
	next := &file{path: f.path, stamp: s, sum: sha256.Sum256(text), complete: f.complete}
	if f.complete && next.sum == f.sum {
		same := *f
		same.stamp = s
		return &same
	}
	next.documents = map[[sha256.Size]byte]*document{}
	pieces, lines := splitDocuments(text)
	var broken []object.Finding
	for i, piece := range pieces {
		sum := sha256.Sum256(piece)
		d := f.documents[sum]
		if d == nil {
			var err error
			if d, _, err = p.parse(piece, lines[i]); err != nil {
				if len(broken) == maxBroken {
					continue
				}
				broken = append(broken, object.Finding{Object: object.Ref{Kind: KindFile, Name: f.path}, Field: fmt.Sprintf("line %d", lines[i]), Code: object.CodeInvalid, Message: err.Error()})
				continue
			}
		}
		next.documents[sum] = d
		next.objects = append(next.objects, d.objects...)
		next.unknown = append(next.unknown, d.unknown...)
		next.findings = append(next.findings, d.findings...)
		for _, w := range d.objects {
			next.findings = append(next.findings, w.findings...)
		}
	}
	if len(broken) > 0 && f.complete {
		kept := *f
		kept.stamp, kept.sum = s, next.sum
		for i := range broken {
			broken[i].Message += "; until then the file's last good content stays in force, all of it"
		}
		kept.findings = broken
		return &kept
	}
	for i := range broken {
		broken[i].Message += "; the rest of the file is in force"
	}
	next.complete, next.findings = len(broken) == 0, append(broken, next.findings...)
	return next
}
