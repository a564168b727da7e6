package operate

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/mesh/object"
)

func newHistoryCommand() *cobra.Command {
	var p plane
	o := output{wide: true}
	var since string
	cmd := &cobra.Command{
		Use:   "history [KIND/NAME]",
		Short: "Say what changed lately, who did it, whom it concerned and when they had it",
		Long: `Lists what changed in the mesh, the oldest first: the objects that came, went or changed, who wrote them (the manager of
the newest entry of metadata.managedFields, which of a deleted object nobody knows), how many Envoy resources that changed
for how many proxies, about how many bytes these were sent, how long the last of them took to accept it, and the
findings that came and went, refusals of proxies among them. With -o wide each is told in full.

With KIND/NAME it lists what concerned one object (virtualservice/reviews), or, when the kind is that of a workload
(deploy/web, sts/db, pod/web-1), what its proxies were sent. A change that concerned more than 64 workloads is told of
all workloads of the namespaces that it concerned, and one that concerned more than 64 namespaces of all.

Each replica remembers the last 1,000 changes of rules and Services since it started, beside them the last 1,000 times that
nothing but pods and endpoints changed, and the last 1,000 times that findings came or went, of each no more than 2 MiB. It
keeps names and numbers; the objects and resources of before are gone. What replicas did alike is told once.`,
		Example: `  fairway history --since 30m
  fairway history virtualservice/reviews -n shop -o wide
  fairway history deploy/web -n shop --since 14:05`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer func() { p.warn(cmd.ErrOrStderr()) }()
			return p.showHistory(cmd, args, since, &o)
		},
	}
	p.flags(cmd)
	cmd.Flags().Lookup("namespace").Usage = "namespace of what is named; without a name, only what concerned objects or proxies of the namespace; default: that of the kubeconfig's context, and all"
	cmd.Flags().StringVar(&since, "since", "", "only what happened since: a duration (10m), a time of today (14:05), or a time of RFC 3339")
	o.flag(cmd)
	return cmd
}

func (p *plane) showHistory(cmd *cobra.Command, args []string, since string, o *output) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if err := o.check(); err != nil {
		return err
	}
	query, err := sinceQuery(since, time.Now())
	if err != nil {
		return err
	}
	var about subject
	keep := func(debug.Happened) bool { return true }
	switch {
	case len(args) == 1:
		if about, err = p.subjectOf(ctx, args[0]); err != nil {
			return err
		}
		keep = about.concerns
	case p.namespace != "":
		keep = func(h debug.Happened) bool { return concernsNamespace(h, p.namespace) }
	}
	all, err := ask[[]debug.Happened](ctx, p, "/debug/historyz"+query)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(mergeHistory(all), func(h debug.Happened) bool { return !keep(h) })
	if about.unknown != nil && len(list) == 0 {
		return about.unknown
	}
	if about.workload != "" {
		if err := p.noteAbsence(cmd, about.workload); err != nil {
			return err
		}
	}
	if done, err := o.write(out, list); done {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "Nothing that is remembered.")
		return nil
	}
	if o.form == "wide" {
		for _, h := range list {
			printHappened(out, h)
		}
		return nil
	}
	return table(out, historyRows(list, len(all) > 1))
}

// sinceQuery is how the debug port is asked for what happened since then.
func sinceQuery(since string, now time.Time) (string, error) {
	if since == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(since); err == nil && d > 0 {
		return "?since=" + url.QueryEscape(since), nil // by the clock of who answers
	}
	for _, form := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(form, since, time.Local); err == nil {
			at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
			if at.After(now) { // of yesterday, then
				at = at.AddDate(0, 0, -1)
			}
			return "?since=" + url.QueryEscape(at.Format(time.RFC3339)), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, since); err == nil {
		return "?since=" + url.QueryEscape(t.Format(time.RFC3339Nano)), nil
	}
	return "", fmt.Errorf("--since %q is neither a duration (10m) nor a time (14:05, 2006-01-02T15:04:05Z)", since)
}

// refOf reads what findings call an object.
func refOf(s string) object.Ref {
	kind, rest, _ := strings.Cut(s, " ")
	namespace, name, ok := strings.Cut(rest, "/")
	if !ok {
		namespace, name = "", rest
	}
	return object.Ref{Kind: object.Kind(kind), Namespace: namespace, Name: name}
}

// concernsWorkload tells whether proxies of a workload, "NAMESPACE/NAME", were sent
// something, as far as that is remembered.
func concernsWorkload(h debug.Happened, workload string) bool {
	e := h.Effect
	if e == nil || e.Proxies == 0 {
		return false
	}
	if len(e.Workloads) > 0 {
		return slices.Contains(e.Workloads, workload)
	}
	namespace, _, _ := strings.Cut(workload, "/")
	return len(e.Namespaces) == 0 || slices.Contains(e.Namespaces, namespace)
}

func concernsNamespace(h debug.Happened, namespace string) bool {
	return concernsWorkload(h, namespace+"/") ||
		h.Effect != nil && slices.ContainsFunc(h.Effect.Workloads, func(w string) bool { return strings.HasPrefix(w, namespace+"/") }) ||
		slices.ContainsFunc(h.Objects, func(o debug.ChangedObject) bool { return o.Namespace == namespace }) ||
		slices.ContainsFunc(slices.Concat(h.Came, h.Went), func(f debug.Finding) bool { return refOf(f.Object).Namespace == namespace })
}

// historyRows are the table.
func historyRows(list []debug.Happened, several bool) [][]string {
	head := []string{"TIME", "CHANGED", "BY", "RESOURCES", "PROXIES", "BYTES", "ACCEPTED"}
	if several {
		head = slices.Insert(head, 1, "REPLICA")
	}
	rows := [][]string{head}
	add := func(h debug.Happened, row ...string) {
		row = append([]string{h.Time.Local().Format("01-02 15:04:05.000")}, row...)
		if several {
			row = slices.Insert(row, 1, h.Replica)
		}
		rows = append(rows, row)
	}
	for _, h := range list {
		if e := h.Effect; e != nil {
			by := "-"
			if len(h.Objects) > 0 {
				by = cmp.Or(h.Objects[0].By, "-")
			}
			add(h, objectsText(h), by, resourcesText(e), fmt.Sprint(e.Proxies), bytesText(e.Bytes), acceptedText(e))
		}
		for _, f := range h.Came {
			add(h, f.Object, "-", "-", "-", "-", "finding came: "+findingText(f))
		}
		for _, f := range h.Went {
			add(h, f.Object, "-", "-", "-", "-", "finding went: "+findingText(f))
		}
		if h.MoreFindings > 0 {
			add(h, fmt.Sprintf("%d more findings", h.MoreFindings))
		}
	}
	return rows
}

func findingText(f debug.Finding) string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + ": " + f.Message
}

// objectsText names the first object.
func objectsText(h debug.Happened) string {
	if len(h.Objects) == 0 {
		return "what had been held back or waited for its turn"
	}
	text := objectText(h.Objects[0])
	if more := len(h.Objects) - 1 + h.MoreObjects; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func objectText(o debug.ChangedObject) string {
	switch {
	case o.Deleted:
		return o.String() + " (deleted)"
	case o.Generation > 0:
		return fmt.Sprintf("%s (generation %d)", o, o.Generation)
	}
	return o.String()
}

func resourcesText(e *debug.Effect) string {
	var parts []string
	for _, n := range []struct {
		count int
		what  string
	}{{e.Added, "added"}, {e.Changed, "changed"}, {e.Removed, "removed"}} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	text := strings.Join(parts, ", ")
	if e.AtLeast {
		text += " at least"
	}
	return text
}

func bytesText(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

func acceptedText(e *debug.Effect) string {
	var parts []string
	took := time.Duration(e.AcceptedSeconds * float64(time.Second)).Round(time.Millisecond)
	switch {
	case e.Proxies == 0:
		return "it concerns no proxy"
	case e.Waiting > 0:
		parts = append(parts, "not yet by "+count(e.Waiting, "proxy", "proxies"))
	case e.Proxies > e.Late+e.Left:
		parts = append(parts, "in "+max(took, time.Millisecond).String())
	}
	if e.Late > 0 {
		parts = append(parts, count(e.Late, "proxy", "proxies")+" too late to be told")
	}
	if e.Left > 0 {
		parts = append(parts, count(e.Left, "proxy", "proxies")+" left before")
	}
	return strings.Join(parts, ", ")
}

// printHappened tells one entry in full.
func printHappened(w io.Writer, h debug.Happened) {
	at := ""
	if h.Replica != "" {
		at = " at " + h.Replica
	}
	fmt.Fprintf(w, "%s%s\n", h.Time.Local().Format("2006-01-02 15:04:05.000"), at)
	for _, o := range h.Objects {
		by := ""
		if o.By != "" {
			by = ", written by " + o.By
		}
		if o.Written != nil {
			by += " at " + o.Written.Local().Format(time.TimeOnly)
		}
		fmt.Fprintf(w, "  %s%s\n", objectText(o), by)
	}
	if h.MoreObjects > 0 {
		fmt.Fprintf(w, "  and %s\n", count(h.MoreObjects, "more object", "more objects"))
	}
	if e := h.Effect; e != nil {
		places := ""
		if list := slices.Concat(e.Workloads, e.Namespaces); len(list) > 0 {
			places = " of " + few(list, len(list))
		}
		fmt.Fprintf(w, "  %s%s, about %s; accepted: %s\n", count(e.Proxies, "proxy", "proxies"), places, bytesText(e.Bytes), acceptedText(e))
		for _, r := range e.Resources {
			fmt.Fprintf(w, "    %-8s %s %s\n", r.Change, kindOf(r.Type), r.Name)
		}
		if more := e.Added + e.Changed + e.Removed - len(e.Resources); more > 0 {
			fmt.Fprintf(w, "    and %d more\n", more)
		}
	}
	for _, f := range h.Came {
		fmt.Fprintf(w, "  finding came: %s %s\n", f.Object, findingText(f))
	}
	for _, f := range h.Went {
		fmt.Fprintf(w, "  finding went: %s %s\n", f.Object, findingText(f))
	}
	if h.MoreFindings > 0 {
		fmt.Fprintf(w, "  and %s\n", count(h.MoreFindings, "more finding", "more findings"))
	}
}
