package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// product is something that the bank sells.
type product struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`
	Rate     float64 `json:"rate"`     // percent a year
	Duration int     `json:"duration"` // months
}

// productList is the answer of details.
type productList struct {
	identity
	Products []product `json:"products"`
}

func details() http.Handler {
	answer := productList{identity: self(), Products: []product{
		{"Harbour Savings", "savings account", 2.1, 12},
		{"Lighthouse Bond", "government bond", 3.4, 60},
		{"Trade Wind Fund", "mixed fund", 5.2, 84},
		{"Deep Sea Shares", "share portfolio", 7.9, 120},
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /details", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer) })
	return mux
}

// added is the answer of addedvalues. Version v1 has no extras, v2 adds risk and
// results, v3 also the style.
type added struct {
	identity
	Risk    map[string]int       `json:"risk,omitempty"`    // by product: 1 (low) to 5
	Results map[string][]float64 `json:"results,omitempty"` // by product: percent, of the last five years
	Style   *style               `json:"style,omitempty"`
}

// style is a look for the page. Name is empty when there is none, Trouble says why.
type style struct {
	Name    string `json:"name"`
	Accent  string `json:"accent"` // CSS colour, #rrggbb
	Trouble string `json:"trouble,omitempty"`
}

func addedvaluesCommand() *cobra.Command {
	port, next := bankPort, ""
	cmd := &cobra.Command{
		Use:   "addedvalues",
		Short: "The bank's extras: none as v1, risk and results as v2, a style as v3 (environment variable version)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), port, addedvalues(self(), next))
		},
	}
	portFlag(cmd, &port)
	cmd.Flags().StringVar(&next, "styletransfer", "http://styletransfer:9080", "URL of the service styletransfer, called by v3")
	return cmd
}

func addedvalues(me identity, styletransfer string) http.Handler {
	answer := added{identity: me}
	if me.Version != "v1" {
		answer.Risk = map[string]int{"Harbour Savings": 1, "Lighthouse Bond": 2, "Trade Wind Fund": 3, "Deep Sea Shares": 5}
		answer.Results = map[string][]float64{
			"Harbour Savings": {1.2, 1.4, 1.9, 2.0, 2.1},
			"Lighthouse Bond": {2.8, 3.1, -0.6, 3.3, 3.4},
			"Trade Wind Fund": {6.1, -2.4, 7.3, 4.8, 5.2},
			"Deep Sea Shares": {11.5, -8.2, 14.9, 6.6, 9.4},
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /addedvalues", func(w http.ResponseWriter, r *http.Request) {
		answer := answer
		if me.Version == "v3" {
			answer.Style = &style{}
			if err := get(r, styletransfer+"/style", answer.Style); err != nil {
				answer.Style = &style{Trouble: err.Error()}
			}
		}
		writeJSON(w, answer)
	})
	return mux
}

func styletransferCommand() *cobra.Command {
	port, source := bankPort, ""
	cmd := &cobra.Command{
		Use:   "styletransfer",
		Short: "The bank's styles, which come from an address outside the mesh",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), port, styletransfer(source))
		},
	}
	portFlag(cmd, &port)
	cmd.Flags().StringVar(&source, "source", "http://styles.example.com", "URL of the site outside the mesh")
	return cmd
}

func styletransfer(source string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style", func(w http.ResponseWriter, r *http.Request) {
		var s style
		if err := get(r, source+"/style", &s); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		writeJSON(w, s)
	})
	return mux
}

// gallery is the site outside the mesh.
func gallery() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, style{Name: "Starry night", Accent: "#1d4e89"})
	})
	return mux
}

// callTimeout bounds one call from service to service.
const callTimeout = 5 * time.Second

// get asks for JSON on behalf of a request that is being answered.
func get(from *http.Request, url string, answer any) error {
	ctx, cancel := context.WithTimeout(from.Context(), callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("calling %s: %w", url, err)
	}
	passOn(req, from)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("understanding the answer of %s: %w", url, err)
	}
	return nil
}
