package operate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/explain"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// explainFlags are the settings of `fairway explain`.
type explainFlags struct {
	plane
	output
	headers             []string
	method, source, dst string
	from                string
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain {POD[.NAMESPACE] | --from KIND/NAME} URL",
		Short: "Follow one request through a proxy's configuration, and say why it goes where it goes",
		Long: `Follows a request through what the control plane holds for a proxy: the listener, filter chain, virtual host, route
with the object and rule that it was made of, clusters and endpoints, and says why each was chosen and what is
known to be wrong with the objects on the way. No request is sent.

For a sidecar the request is one that its own pod sends; for a gateway one that arrives there, at the port on which
the gateway's Pod listens. With --from the proxy is that of a pod of a workload, which is named as kubectl names it; the
command says which pod it took. http:// and https:// are requests, tcp://host:port a connection.`,
		Example: `  fairway explain sleep-0.default http://flaskapp/env/version --header end-user:jason
  fairway explain --from deploy/sleep -n default http://flaskapp/env/version
  fairway explain istio-ingressgateway-0.istio-system http://localhost:8080/reviews/1 --header Host:bookinfo.example`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.from != "" {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer func() { f.warn(cmd.ErrOrStderr()) }()
			if f.from == "" {
				return f.run(cmd.Context(), cmd.OutOrStdout(), f.named(args[0]), args[1])
			}
			proxy, of, err := f.proxyFrom(cmd.Context(), f.from)
			if err != nil {
				return err
			}
			if of > 1 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is one of %d proxies of %s\n", proxy, of, f.from)
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), proxy, args[0])
		},
	}
	f.plane.flags(cmd)
	cmd.ValidArgsFunction = f.complete
	f.output.flag(cmd)
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "header of the request, name:value; may be repeated")
	cmd.Flags().StringVarP(&f.method, "method", "X", http.MethodGet, "method of the request")
	cmd.Flags().StringVar(&f.from, "from", "", "in place of POD: a workload or pod, as deploy/web, sts/db or pod/web-1")
	cmd.Flags().StringVar(&f.source, "source-ip", "", "address of the client")
	cmd.Flags().StringVar(&f.dst, "destination-ip", "", "address that the client connects to; default: that of the host in the mesh")
	return cmd
}

// explained is the answer as programs read it.
type explained struct {
	explain.Answer
	Findings []debug.Finding `json:"findings,omitempty"`
}

func (f *explainFlags) run(ctx context.Context, out io.Writer, proxy, address string) error {
	request, err := f.request(address)
	if err != nil {
		return err
	}
	d, err := f.dump(ctx, proxy, true)
	if err != nil {
		return err
	}
	resources, err := explain.Decode(d)
	if err != nil {
		return err
	}
	if !request.Destination.IsValid() {
		hosts, err := f.hosts(ctx)
		if err != nil {
			return err
		}
		request.Destination = resolve(hosts, request.Host, namespaceOf(proxy))
	}
	findings, err := f.findings(ctx)
	if err != nil {
		return err
	}
	e := explained{Answer: explain.Explain(resources, request)}
	for _, x := range findings {
		if slices.ContainsFunc(e.Objects, func(r object.Ref) bool { return r.String() == x.Object }) {
			e.Findings = append(e.Findings, x)
		}
	}
	if done, err := f.write(out, e); done {
		return err
	}
	printExplained(out, e)
	return nil
}

func (f *explainFlags) request(address string) (explain.Request, error) {
	header := http.Header{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return explain.Request{}, fmt.Errorf("--header %q is not name:value", h)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	r, err := explain.NewRequest(f.method, address, header)
	if err != nil {
		return r, err
	}
	for flag, place := range map[string]struct {
		text string
		into *netip.Addr
	}{"source-ip": {f.source, &r.Source}, "destination-ip": {f.dst, &r.Destination}} {
		if place.text == "" {
			continue
		}
		if *place.into, err = netip.ParseAddr(place.text); err != nil {
			return r, fmt.Errorf("--%s: %w", flag, err)
		}
	}
	return r, nil
}

func namespaceOf(proxy string) string { return proxy[strings.LastIndexByte(proxy, '.')+1:] }

// resolve is the address that a client of the namespace finds for the name:
// the host's own, or that of one of its endpoints; zero when the mesh has none.
func resolve(hosts []debug.Host, name, namespace string) netip.Addr {
	for _, full := range object.SearchedNames(name, namespace) {
		for _, h := range hosts {
			if h.Host != full {
				continue
			}
			for _, a := range slices.Concat(h.Addresses, h.Endpoints) {
				a, _, _ = strings.Cut(a, "/")
				if address, err := netip.ParseAddr(a); err == nil {
					return address
				}
			}
		}
	}
	return netip.Addr{}
}

func printExplained(w io.Writer, e explained) {
	for _, s := range e.Steps {
		fmt.Fprintf(w, "%-13s %s\n              %s\n", s.What, s.Name, s.Why)
	}
	if len(e.Findings) > 0 {
		fmt.Fprintln(w, "\nWhat is known of the objects on the way:")
	}
	for _, f := range e.Findings {
		fmt.Fprintf(w, "  %s %s: %s\n", f.Object, f.Field, f.Message)
	}
}
