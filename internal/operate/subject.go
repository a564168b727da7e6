package operate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/spelling"
	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// subject is what somebody asks about: an object, or the proxies of a workload.
type subject struct {
	is              func(kind string) bool // of an object
	namespace, name string
	workload        string // "NAMESPACE/NAME"; empty: an object is meant
	// unknown is what to say if nothing is found: the kind may be misspelt.
	unknown error
}

// subjectOf is what an argument names, KIND/NAME.
func (p *plane) subjectOf(ctx context.Context, arg string) (subject, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok || kind == "" || name == "" {
		return subject{}, fmt.Errorf("%q is not KIND/NAME, as virtualservice/reviews or deploy/web", arg)
	}
	s := subject{is: kindMatcher(kind), namespace: p.namespace, name: name}
	if s.namespace == "" {
		if _, ns, err := p.config(); err == nil {
			s.namespace = ns
		}
	}
	if isWorkload(kind) {
		var err error
		s.workload, err = p.workloadNamed(ctx, kind, name, cmp.Or(s.namespace, "default"))
		return s, err
	}
	s.unknown = unknownKind(kind)
	return s, nil
}

// unknownKind is nil for a kind that the mesh reads, or that findings name.
func unknownKind(kind string) error {
	all := append(mesh.Kinds(), object.KindWorkload, object.KindHost)
	is := kindMatcher(kind)
	if slices.ContainsFunc(all, func(k object.Kind) bool { return is(string(k)) }) {
		return nil
	}
	names := slices.Clone(workloadKinds)
	for _, k := range all {
		name := strings.ToLower(string(k))
		names = append(names, name[strings.LastIndexByte(name, '/')+1:])
	}
	meant := ""
	if near := spelling.Closest(kind, names); near != "" {
		meant = "did you mean " + near + "? "
	}
	return fmt.Errorf("%q is no kind that the mesh reads, and nothing that is remembered is about one: %sName the kind as kubectl does, in the singular, the plural or short", kind, meant)
}

// concerns tells whether an entry is about the subject.
func (s *subject) concerns(h debug.Happened) bool {
	if s.workload != "" {
		return concernsWorkload(h, s.workload)
	}
	about := func(r object.Ref) bool {
		return r.Name == s.name && s.is(string(r.Kind)) && (r.Namespace == "" || s.namespace == "" || r.Namespace == s.namespace)
	}
	return slices.ContainsFunc(h.Objects, func(o debug.ChangedObject) bool {
		return about(object.Ref{Kind: object.Kind(o.Kind), Namespace: o.Namespace, Name: o.Name})
	}) || slices.ContainsFunc(slices.Concat(h.Came, h.Went), func(f debug.Finding) bool { return about(refOf(f.Object)) })
}

// noteAbsence says on the standard error when no proxy of a workload is connected: its name
// may be misspelt.
func (p *plane) noteAbsence(cmd *cobra.Command, workload string) error {
	list, err := p.proxies(cmd.Context())
	if err != nil {
		return err
	}
	if len(proxiesOf(list, workload)) == 0 {
		namespace, _, _ := strings.Cut(workload, "/")
		fmt.Fprintf(cmd.ErrOrStderr(), "note: no proxy of workload %s is connected now: `fairway status -n %s` lists those that are\n", workload, namespace)
	}
	return nil
}
