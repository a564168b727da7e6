package sample

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// getCommand asks from inside a pod: the image has no shell and no curl.
func getCommand() *cobra.Command {
	var headers []string
	times := 1
	cmd := &cobra.Command{
		Use:   "get URL",
		Short: "Ask a URL from inside a pod, as curl would",
		Example: `  kubectl exec deploy/sleep -- fairway sample get http://flaskapp/env/version
  kubectl exec deploy/sleep -- fairway sample get -n 100 -H 'x-version: v1' http://flaskapp/env/version`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			answers := map[string]int{}
			for range times {
				answer, err := fetch(cmd.Context(), args[0], headers)
				if err != nil {
					return err
				}
				answers[strings.TrimSpace(answer)]++
			}
			for _, answer := range slices.SortedFunc(maps.Keys(answers), cmp.Compare) {
				if times > 1 {
					fmt.Fprintf(cmd.OutOrStdout(), "%6d  ", answers[answer])
				}
				fmt.Fprintln(cmd.OutOrStdout(), answer)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, `header to send, "Name: value"; may be repeated`)
	cmd.Flags().IntVarP(&times, "times", "n", times, "ask so often, and count the answers")
	return cmd
}

// fetch asks once, on a connection of its own.
func fetch(ctx context.Context, url string, headers []string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	for _, h := range headers {
		name, value, found := strings.Cut(h, ":")
		if !found {
			return "", fmt.Errorf("header %q: want \"Name: value\"", h)
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch))
	if err == nil && resp.StatusCode != http.StatusOK {
		return resp.Status, nil
	}
	return string(body), err
}
