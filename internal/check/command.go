package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/mesh"
	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/translate"
)

// patience is how long a cluster may take to tell its objects.
const patience = time.Minute

// garbage is how much memory may be garbage, in percent of what is not.
const garbage = 400

// formats are what -o takes, with what writes each.
var formats = map[string]func(io.Writer, *Findings) error{"text": writeText, "json": writeJSON, "github": writeGitHub, "sarif": writeSARIF}

// flags are the settings of "fairway check".
type flags struct {
	files      []string
	kubeconfig string
	strict     bool
	output     string
}

// NewCommand is "fairway check".
func NewCommand() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "check [-f] FILE|DIR...",
		Short: "Say what the control plane would say of objects before they are applied",
		Long: `Reads Kubernetes manifests and says all that the control plane would say of them: it translates them for every proxy
that they imply (pods, the pods of Deployments and other workloads, the pods that Gateways select), and reports values
that are invalid, names that lead nowhere, rules that are never used and objects that lose to others, with object,
field and remedy. It also says which pod templates no proxy can be added to.

The objects are looked at together; with --kubeconfig together with those of a cluster, or without files those of the
cluster alone. Of a part of a mesh it looks up what the files hold, and says once what it did not look up.

An error is what is wrong by the object alone; everything that another object can mend is a warning. Exits with 1 when
there are errors, with --strict also when there are warnings. docs/findings.md explains the codes of -o json.`,
		Example: `  fairway check manifests/
  kubectl kustomize . | fairway check -f - --kubeconfig ~/.kube/config
  fairway check -f manifests/ -o github --strict`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.files = append(f.files, args...)
			return f.run(cmd)
		},
	}
	p := cmd.Flags()
	p.StringSliceVarP(&f.files, "filename", "f", nil, "manifests, or a folder of them; - is standard input; may be repeated")
	p.StringVar(&f.kubeconfig, "kubeconfig", "", "look at the objects together with those of this cluster")
	p.BoolVar(&f.strict, "strict", false, "warnings count as errors")
	p.StringVarP(&f.output, "output", "o", "text", "text, json, github (annotations of a pull request) or sarif")
	return cmd
}

func (f *flags) run(cmd *cobra.Command) error {
	debug.SetGCPercent(garbage) // it ends soon: memory costs less than looking for what may go
	write := formats[f.output]
	if write == nil {
		return fmt.Errorf("-o %s: want text, json, github or sarif", f.output)
	}
	if len(f.files) == 0 && f.kubeconfig == "" {
		return errors.New("nothing to check: give files, folders, or - for standard input, or --kubeconfig for what a cluster has")
	}
	texts, err := read(f.files, cmd.InOrStdin())
	if err != nil {
		return err
	}
	m := readManifests(texts)
	var base *cluster
	if f.kubeconfig != "" {
		ctx, cancel := context.WithTimeout(cmd.Context(), patience)
		defer cancel()
		if base, err = readCluster(ctx, f.kubeconfig, m); err != nil {
			return err
		}
		if len(texts) == 0 {
			m, base = ofCluster(base), &cluster{refused: base.refused}
		}
	}
	found := m.findings(base)
	if err := write(cmd.OutOrStdout(), found); err != nil {
		return fmt.Errorf("writing what was found: %w", err)
	}
	if found.count(object.SeverityError) > 0 || f.strict && found.count(object.SeverityWarning) > 0 {
		return errInvalid
	}
	return nil
}

// findings is all there is to say of the manifests, beside what a cluster has; nil: they
// are a part of a mesh.
func (m *manifests) findings(beside *cluster) *Findings {
	var base []mesh.Change
	if beside != nil {
		base = beside.objects
	}
	pods, of := m.pods(base)
	all := given(m.objects, pods)
	results, others, world := set(base, all)
	var p *part
	if beside == nil {
		changes := make([]mesh.Change, 0, len(all))
		for _, o := range all {
			changes = append(changes, o.Change)
		}
		p = newPart(changes, world)
		p.routers = p.routers || slices.ContainsFunc(m.templates, template.ofGateway)
	} else {
		p = allBut(beside.refused)
	}
	found := &m.found
	tell := func(f object.Finding, severity object.Severity, at position) {
		if p.skip(f) {
			return
		}
		if f.Object.Kind == object.KindConfigMap && f.Field != "" && !strings.HasPrefix(f.Field, "data.") && !strings.HasPrefix(f.Field, "metadata.") {
			f.Field = "data.mesh." + f.Field
		}
		found.add(f, severity, at)
	}
	for i, r := range results {
		at := position{}
		if i < len(m.positions) {
			at = m.positions[i]
		}
		t, made := of[all[i].Ref]
		for _, f := range slices.Concat(r.Invalid, r.Warnings) {
			severity := severityOf(f)
			if severity == object.SeverityError && f.Code == object.CodeInvalid && !slices.Contains(r.Invalid, f) { // by what other objects say too
				severity = object.SeverityWarning
			}
			if made {
				f.Object, f.Field, at = t.ref, strings.TrimPrefix(holderPath(t.Path)+"."+f.Field, "."), t.position
			}
			tell(f, severity, at)
		}
	}
	namers := m.namers(world)
	for _, f := range others {
		severity := severityOf(f)
		if severity == object.SeverityError {
			severity = object.SeverityWarning
		}
		tell(f, severity, namers[f.Object].naming(f.Object.Name))
	}
	if f, some := p.finding(); some {
		found.add(f, severityOf(f), position{})
	}
	found.sort()
	return found
}

// namers are where Secrets that are not among the objects are named: the first object that
// names one.
func (m *manifests) namers(world *mesh.World) map[object.Ref]position {
	order := map[object.Ref]int{}
	for i, o := range m.objects[:min(len(m.objects), len(m.positions))] {
		order[o.Ref] = i
	}
	first := map[object.Ref]int{}
	for _, s := range translate.NamedSecrets(world) {
		at, known := order[s.By]
		if before, some := first[s.Ref]; known && (!some || at < before) {
			first[s.Ref] = at
		}
	}
	out := map[object.Ref]position{}
	for secret, at := range first {
		out[secret] = m.positions[at]
	}
	return out
}
