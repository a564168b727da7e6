package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/replicas"
	"github.com/fairway-mesh/fairway/internal/status"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// What `fairway wait` returns, for exit statuses.
var (
	ErrWaited  = errors.New("not every proxy has accepted the objects in time") // 1
	ErrNoWait  = errors.New("it cannot be told")                                // 2
	errNoReply = errors.New("the replicas of the control plane have not all answered")
)

// waitFlags are the settings of `fairway wait`.
type waitFlags struct {
	reach
	files     []string
	namespace string
	timeout   time.Duration
}

func newWaitCommand() *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use:   "wait [KIND/NAME...] [-f FILE]",
		Short: "Wait until every proxy has accepted objects",
		Long: `Waits until the proxies that objects concern have accepted them, at every replica of the control plane: the
generation (metadata.generation) that the API server has of each object when the command starts, or a newer one. It
finds the replicas through the API server and reaches their debug ports as kubectl port-forward does.

An object is there when every replica has it in force and no proxy that is connected to one lacks anything that is made
of it, or still holds what was made of it before. A Sidecar, Telemetry, PeerAuthentication or WorkloadEntry shapes what is
made of others: then no proxy may lack anything at all. An object that concerns no connected proxy is there at once, and
the command says so. A proxy that refuses it, and an object that is invalid, keep the command waiting, and it says why. A proxy
that is connected to no replica is not waited for: it gets the newest when it connects.

Exit status: 0 all are there, 1 not in time, 2 it cannot be told: the user may not ask, or the replicas have not all
answered once.`,
		Example: `  fairway wait -f rules.yaml --timeout 30s
  fairway wait virtualservice/reviews destinationrule/reviews -n shop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.run(cmd, args)
			if err != nil && !errors.Is(err, ErrWaited) {
				err = fmt.Errorf("%w: %w", ErrNoWait, err)
			}
			return err
		},
	}
	f.reach.flag(cmd)
	p := cmd.Flags()
	p.StringArrayVarP(&f.files, "filename", "f", nil, "file with the objects; - is standard input; may be repeated")
	p.StringVarP(&f.namespace, "namespace", "n", "", "namespace of objects that name none; default: that of the kubeconfig's context")
	p.DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}

// waiting waits for objects.
type waiting struct {
	finder *replicas.Finder
	of     []awaited
	tell   io.Writer // progress
	told   string
}

const (
	// waitEvery is how long to wait between two rounds of questions.
	waitEvery = 300 * time.Millisecond
	// waitRounds is how often in turn all have to be there: a proxy may go from a replica
	// that is asked later to one that was asked before.
	waitRounds = 2
)

func (f *waitFlags) run(cmd *cobra.Command, args []string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	w, err := f.prepare(ctx, cmd, args)
	if err != nil {
		return err
	}
	var last round
	known := false // all replicas have answered once
	for done := 0; done < waitRounds; {
		r := w.ask(ctx)
		if r.refused != nil {
			return r.refused
		}
		known = known || r.known
		if ctx.Err() == nil || last.lines == nil {
			last = r
		}
		if done++; !r.done {
			done = 0
		}
		w.progress(r)
		if done == waitRounds {
			break
		}
		select {
		case <-ctx.Done():
			if cmd.Context().Err() != nil {
				return cmd.Context().Err()
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(last.lines, "\n"))
			if !known {
				return fmt.Errorf("%w in %s", errNoReply, f.timeout)
			}
			return fmt.Errorf("%w (%s)", ErrWaited, f.timeout)
		case <-time.After(waitEvery):
		}
	}
	fmt.Fprintln(cmd.OutOrStdout(), strings.Join(last.lines, "\n"))
	return nil
}

// prepare finds the objects.
func (f *waitFlags) prepare(ctx context.Context, cmd *cobra.Command, args []string) (*waiting, error) {
	if len(args)+len(f.files) == 0 {
		return nil, errors.New("name objects as KIND/NAME, or files with them by -f")
	}
	config, namespace, err := f.config()
	if err != nil {
		return nil, err
	}
	if f.namespace != "" {
		namespace = f.namespace
	}
	finder, err := f.finder(config)
	if err != nil {
		return nil, err
	}
	look, err := newLookup(config, namespace)
	if err != nil {
		return nil, err
	}
	of, err := f.objects(ctx, cmd, look, args)
	if err != nil {
		return nil, err
	}
	return &waiting{finder: finder, of: of, tell: cmd.ErrOrStderr()}, nil
}

// objects are those that arguments and files name.
func (f *waitFlags) objects(ctx context.Context, cmd *cobra.Command, look *lookup, args []string) ([]awaited, error) {
	var of []awaited
	if len(args) > debug.MaxAwaited {
		return nil, tooMany(len(args))
	}
	for _, a := range args {
		one, err := look.named(ctx, a)
		if err != nil {
			return nil, err
		}
		of = append(of, one)
	}
	for _, name := range f.files {
		some, err := look.file(ctx, name, cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		of = append(of, some...)
	}
	if len(of) > debug.MaxAwaited {
		return nil, tooMany(len(of))
	}
	return of, nil
}

func tooMany(n int) error {
	return fmt.Errorf("there are %d objects or more, and no more than %d can be waited for at once", n, debug.MaxAwaited)
}

// round is what all replicas answered once.
type round struct {
	done    bool
	known   bool     // all replicas have answered
	refused error    // the user may not ask
	lines   []string // for people, one for each object, or what went wrong
}

// ask asks every replica.
func (w *waiting) ask(ctx context.Context) round {
	found, err := w.finder.Find(ctx)
	if errors.Is(err, replicas.ErrRefused) {
		return round{refused: err}
	}
	if err != nil {
		return round{lines: []string{err.Error()}}
	}
	answers := map[string][]debug.Progress{}
	var silent []string
	var refused error
	for _, r := range found {
		list, err := progressAt(ctx, &r, w.of)
		switch {
		case err == nil:
			answers[r.Name] = list
		case errors.Is(err, replicas.ErrRefused): // of one alone it may pass: it cannot ask who it is
			refused = err
			silent = append(silent, err.Error())
		case !r.Down: // one that has lost its readiness may still have proxies
			silent = append(silent, fmt.Sprintf("replica %s does not answer: %v", r.Name, err))
		}
	}
	if refused != nil && len(answers) == 0 {
		return round{refused: refused}
	}
	if len(answers) == 0 && len(silent) == 0 {
		return round{lines: []string{errNoReply.Error()}}
	}
	out := round{done: len(silent) == 0, known: len(silent) == 0, lines: silent}
	for i, a := range w.of {
		s := stateOf(a, i, answers)
		out.done = out.done && s.there
		out.lines = append(out.lines, s.text)
	}
	return out
}

// standing is how far all replicas are with one object.
type standing struct {
	there bool
	text  string
}

// stateOf joins what the replicas say of the object at a place of the list.
func stateOf(a awaited, place int, answers map[string][]debug.Progress) standing {
	var late, missing, wrong []string
	proxies, lacking := 0, 0
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		p := answers[name][place]
		proxies += p.Proxies
		lacking += p.Lacking
		if p.Generation < a.generation || p.UID != "" && p.UID != a.uid {
			late = append(late, name)
		}
		for _, m := range p.Missing {
			missing = append(missing, m+" at "+name)
		}
		for _, x := range p.Findings {
			if blocks(x) && !slices.Contains(wrong, x.Message) {
				wrong = append(wrong, x.Message)
			}
		}
	}
	at := count(len(answers), "replica", "replicas")
	head := fmt.Sprintf("%s (generation %d): ", a.ref, a.generation)
	switch {
	case len(wrong) > 0:
		return standing{false, head + strings.Join(wrong, "; ")}
	case len(late) > 0:
		return standing{false, head + "not yet in force at " + strings.Join(late, ", ")}
	case lacking > 0:
		return standing{false, head + "not accepted yet by " + count(lacking, "proxy", "proxies") + ": " + few(missing, lacking)}
	case proxies == 0 && status.Traced(a.ref.Kind):
		return standing{true, head + "in force at " + at + "; it concerns no proxy that is connected"}
	case proxies == 0:
		return standing{true, head + "in force at " + at + "; no proxy lacks anything"}
	}
	return standing{true, head + "accepted by all that it concerns, " + count(proxies, "proxy", "proxies") + " at " + at}
}

// blocks tells whether a finding says that an object is not in force as it is written.
func blocks(f debug.Finding) bool {
	return f.Code == string(object.CodeInvalid) || f.Code == string(object.CodeRejected)
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// few names the first of many.
func few(names []string, of int) string {
	const shown = 10
	out := strings.Join(names[:min(shown, len(names))], ", ")
	if more := of - min(shown, len(names)); more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// progress tells what is not there yet, when that has changed.
func (w *waiting) progress(r round) {
	text := strings.Join(r.lines, "\n")
	if r.done || text == w.told {
		return
	}
	w.told = text
	fmt.Fprintln(w.tell, "waiting: "+strings.Join(r.lines, "\nwaiting: "))
}
