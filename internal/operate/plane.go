package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-mesh/fairway/internal/debug"
	"github.com/fairway-mesh/fairway/internal/explain"
)

// maxAnswer bounds what is read from a port, in bytes: the dump of a proxy that
// sees some 10,000 services.
const maxAnswer = 1 << 30

// plane is the debug port of a control plane.
type plane struct {
	address   string
	tokenFile string
}

// flag adds --debug-address to a command.
func (p *plane) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.address, "debug-address", "http://127.0.0.1:15014",
		"debug port of the control plane; in a cluster first: kubectl -n istio-system port-forward deploy/fairway 15014")
	cmd.Flags().StringVar(&p.tokenFile, "token-file", "", "file with the Kubernetes token to show there; not needed through a port-forward")
}

// get reads a page and decodes its JSON.
func (p *plane) get(ctx context.Context, path string, into any) error {
	token := ""
	if p.tokenFile != "" {
		text, err := os.ReadFile(p.tokenFile)
		if err != nil {
			return fmt.Errorf("reading --token-file: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	err := getJSON(ctx, base(p.address)+path, token, into)
	if err != nil {
		return fmt.Errorf("asking the control plane: %w: is --debug-address right, and in a cluster the port forwarded?", err)
	}
	return nil
}

func (p *plane) proxies(ctx context.Context) (list []debug.Proxy, err error) {
	return list, p.get(ctx, "/debug/syncz", &list)
}

func (p *plane) findings(ctx context.Context) (list []debug.Finding, err error) {
	return list, p.get(ctx, "/debug/findings", &list)
}

// views are empty where the control plane is of a version that does not tell.
func (p *plane) views(ctx context.Context) (list []debug.View) {
	if p.get(ctx, "/debug/viewz", &list) != nil {
		return nil
	}
	return list
}

func (p *plane) dump(ctx context.Context, proxy string) (d explain.Dump, err error) {
	return d, p.get(ctx, "/debug/config_dump?proxyID="+url.QueryEscape(proxy), &d)
}

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
