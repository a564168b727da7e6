package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/internal/replicas"
)

// maxAnswer bounds what is read from a port, in bytes: the dump of a proxy that
// sees some 10,000 services.
const maxAnswer = 1 << 30

// plane is a control plane: all replicas in a cluster, or one debug port.
type plane struct {
	reach
	address   string
	namespace string // of pods that are named without one; of all that are listed
	// clustered says that the command may find the replicas in a cluster; chosen, that the
	// user named one, or an address.
	clustered bool
	cmd       *cobra.Command

	finder *replicas.Finder  // nil before the replicas were looked for
	silent map[string]string // of replicas that are ready and do not answer, what is said of each
}

// flag adds --debug-address to a command that asks one port.
func (p *plane) flag(cmd *cobra.Command) {
	p.cmd = cmd
	cmd.Flags().StringVar(&p.address, "debug-address", "http://127.0.0.1:15014", "debug port of one replica of the control plane")
	cmd.Flags().StringVar(&p.tokenFile, "token-file", "", "file with the Kubernetes token to show there; not needed where ports are forwarded")
}

// flags adds also how to find all replicas in a cluster.
func (p *plane) flags(cmd *cobra.Command) {
	p.cmd, p.clustered = cmd, true
	cmd.Flags().StringVar(&p.address, "debug-address", "http://127.0.0.1:15014",
		"debug port of one replica; where nobody listens there, and none is named, all replicas of the kubeconfig's cluster are asked")
	cmd.Flags().StringVarP(&p.namespace, "namespace", "n", "", "namespace of the pod that is named, where its name does not end with one; default: that of the kubeconfig's context")
	p.reach.flag(cmd)
}

// named is the name of a proxy, "POD.NAMESPACE", of one that may lack the namespace.
func (p *plane) named(pod string) string {
	switch _, namespace, err := p.config(); {
	case p.namespace != "" && strings.HasSuffix(pod, "."+p.namespace):
		return pod
	case p.namespace != "":
		return pod + "." + p.namespace
	case strings.Contains(pod, "."):
		return pod
	case err == nil:
		return pod + "." + namespace
	}
	return pod
}

// given tells whether one of the flags was set.
func (p *plane) given(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return p.cmd.Flags().Changed(n) })
}

// answer is what one replica said; its name is empty for the one of an address.
type answer[T any] struct {
	replica string
	value   T
}

// ask reads a page of every replica. Those that are ready and do not answer are noted.
// refused is what a replica may say to one that is not its own: it is passed over.
func ask[T any](ctx context.Context, p *plane, path string) ([]answer[T], error) {
	if p.finder == nil && !(p.clustered && p.given("kubeconfig", "context", "direct")) {
		var one answer[T]
		err := p.get(ctx, path, &one.value)
		if err == nil || !p.clustered || p.given("debug-address") || !errors.Is(err, syscall.ECONNREFUSED) {
			return []answer[T]{one}, err
		}
		if _, _, none := p.config(); none != nil {
			return nil, err // there is no cluster either
		}
	}
	found, err := p.replicas(ctx)
	if err != nil {
		return nil, err
	}
	var out []answer[T]
	var last error
	for i := range found {
		one := answer[T]{replica: found[i].Name}
		if err := found[i].Get(ctx, path, &one.value); err != nil {
			last = err
			if found[i].Ready && !errors.Is(err, replicas.ErrNotFound) {
				p.note(found[i].Name, fmt.Sprintf("what replica %s knows is missing here: %v", found[i].Name, err))
			}
			continue
		}
		out = append(out, one)
	}
	if len(out) == 0 && len(p.silent) > 0 {
		return nil, fmt.Errorf("%w (%s)", last, strings.Join(slices.Sorted(maps.Values(p.silent)), "; "))
	}
	if len(out) == 0 {
		return nil, last
	}
	return out, nil
}

// note notes what is said of a replica, of several things the first.
func (p *plane) note(replica, text string) {
	if p.silent == nil {
		p.silent = map[string]string{}
	}
	if p.silent[replica] == "" {
		p.silent[replica] = text
	}
}

// replicas are those of the cluster.
func (p *plane) replicas(ctx context.Context) ([]replicas.Replica, error) {
	if p.finder == nil {
		config, _, err := p.config()
		if err != nil {
			return nil, err
		}
		if p.finder, err = p.reach.finder(config); err != nil {
			return nil, err
		}
	}
	return p.finder.Find(ctx)
}

// warn says which replicas did not answer.
func (p *plane) warn(w io.Writer) {
	for _, s := range slices.Sorted(maps.Values(p.silent)) {
		fmt.Fprintln(w, "warning:", s)
	}
}

// get reads a page of the port at the address and decodes its JSON.
func (p *plane) get(ctx context.Context, path string, into any) error {
	token, err := p.token()
	if err != nil {
		return err
	}
	if err := getJSON(ctx, base(p.address)+path, token, into); err != nil {
		return fmt.Errorf("asking the control plane: %w: is --debug-address right, or is there a kubeconfig?", err)
	}
	return nil
}

// proxies are those of all replicas, in the order of their names.
func (p *plane) proxies(ctx context.Context) (list []debug.Proxy, err error) {
	all, err := ask[[]debug.Proxy](ctx, p, "/debug/syncz")
	for _, a := range all {
		for _, x := range a.value {
			x.Replica = a.replica
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b debug.Proxy) int { return strings.Compare(a.ID, b.ID) })
	return list, err
}

// findings are those of all replicas, each once.
func (p *plane) findings(ctx context.Context) (list []debug.Finding, err error) {
	all, err := ask[[]debug.Finding](ctx, p, "/debug/findings")
	known := map[debug.Finding]bool{}
	for _, a := range all {
		for _, f := range a.value {
			if !known[f] {
				known[f] = true
				list = append(list, f)
			}
		}
	}
	return list, err
}

// views are empty where the control plane is of a version that does not tell.
func (p *plane) views(ctx context.Context) (list []debug.View) {
	all, err := ask[[]debug.View](ctx, p, "/debug/viewz")
	if err != nil {
		return nil
	}
	for _, a := range all {
		for _, v := range a.value {
			if a.replica != "" {
				v.Kind += " at " + a.replica
			}
			list = append(list, v)
		}
	}
	return list
}

// hosts are those of the mesh as some replica knows it.
func (p *plane) hosts(ctx context.Context) ([]debug.Host, error) {
	all, err := ask[[]debug.Host](ctx, p, "/debug/registryz")
	if err != nil {
		return nil, err
	}
	return all[0].value, nil
}

// dump is what the proxy was given by the replica that it is connected to; and, with all, what
// it may ask for.
func (p *plane) dump(ctx context.Context, proxy string, all bool) (explain.Dump, error) {
	page := "/debug/config_dump?proxyID=" + url.QueryEscape(proxy)
	if all {
		page += "&all"
	}
	answers, err := ask[explain.Dump](ctx, p, page)
	if err != nil {
		return nil, err
	}
	return answers[0].value, nil
}

// complete gives the names of connected proxies to the shell.
func (p *plane) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	list, err := p.proxies(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, x := range list {
		names = append(names, x.ID)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeWithin is how long a shell is kept waiting for names.
const completeWithin = 5 * time.Second

// base is an address with a scheme and without a slash at its end.
func base(address string) string {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return strings.TrimSuffix(address, "/")
}

// getJSON reads a page, with the token if there is one, and decodes it.
func getJSON(ctx context.Context, address, token string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", address, response.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading what %s answers: %w", address, err)
	}
	return nil
}
