//go:build linux

package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/fairway-mesh/fairway/internal/local"
)

// bank is tutorial D.
func (r *run) bank(ctx context.Context) error {
	err := r.do("Have every new pod of namespace default injected", "kubectl label namespace default istio-injection=enabled", func() error {
		return r.mesh.Label(ctx, local.Key{Kind: "Namespace", Name: "default"}, map[string]string{"istio-injection": "enabled"})
	})
	if err != nil {
		return err
	}
	if err := r.apply(ctx, "Apply the bank", "bank/app.yaml"); err != nil {
		return err
	}
	if err := r.wait(ctx, "default", "istio-system"); err != nil {
		return err
	}
	r.seePods("default", "pods come up 2/2 with no manual step", 2)
	if err := r.apply(ctx, "Open the gateway for /productpage, and tell versions apart", "bank/gateway.yaml", "bank/destination-rules.yaml"); err != nil {
		return err
	}
	base, err := r.mesh.NodePortURL(ctx, "istio-system", gatewayService, 8080)
	if err != nil {
		return err
	}
	b := &browser{base: base}
	if err := r.do("Refresh the page in a browser", "open "+base+"/productpage", func() error { return nil }); err != nil {
		return err
	}
	r.see("the page shows the three versions in turn", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			c, err := b.versions(ctx, "", 60)
			return c.String(), len(c) == 3 && c["v1"] > 0 && c["v2"] > 0 && c["v3"] > 0, err
		})
	})
	r.see("v1 has no extras, v2 and v3 show risk and results", func() (string, bool, error) { return b.extras(ctx) })
	for _, rule := range []struct{ what, name string }{
		{"by the header's prefix", "bank/addedvalues-by-user.yaml"},
		{"by a regular expression on the header", "bank/addedvalues-by-user-regex.yaml"},
		{"by the cookie", "bank/addedvalues-by-cookie.yaml"},
	} {
		if err := r.apply(ctx, "Users whose name begins with yunqi get v3, everybody else v2: "+rule.what, rule.name); err != nil {
			return err
		}
		r.see("ten refreshes as yunqi-01 show v3 only; ten as anna, and ten without a name, v2 only", func() (string, bool, error) {
			return until(ctx, shortly, func() (string, bool, error) { return b.byUser(ctx) })
		})
	}
	if err := r.egress(ctx, b); err != nil {
		return err
	}
	r.try("Open %s/productpage in a browser, refresh, sign in as yunqi-01 or as somebody else.", base)
	return nil
}

// egress is the tutorial's second half: who may call the outside.
func (r *run) egress(ctx context.Context, b *browser) error {
	check := func(must string, enabled bool) {
		r.see(must, func() (string, bool, error) {
			return until(ctx, shortly*2, func() (string, bool, error) {
				states, err := b.buttons(ctx, 10)
				return "style button: " + states.String(), states.only(map[bool]string{true: "enabled", false: "disabled"}[enabled]), err
			})
		})
	}
	check("by default (ALLOW_ANY) v3 reaches the outside: the style button is enabled", true)
	if err := r.apply(ctx, "Allow only hosts that the mesh knows", "bank/registry-only.yaml"); err != nil {
		return err
	}
	check("the call fails, the button is disabled", false)
	if err := r.apply(ctx, "Make the outside known", "bank/serviceentry.yaml"); err != nil {
		return err
	}
	check("the call works, the button is enabled", true)
	if err := r.remove(ctx, "Forget it again", "bank/serviceentry.yaml"); err != nil {
		return err
	}
	check("the button is disabled again", false)
	if err := r.apply(ctx, "Allow any address", "bank/allow-any.yaml"); err != nil {
		return err
	}
	check("the button is enabled without any ServiceEntry", true)
	return nil
}

// browser looks at the bank's page as a person does.
type browser struct{ base string }

var (
	versionShown = regexp.MustCompile(`data-service="addedvalues" data-version="([^"]+)"`)
	buttonShown  = regexp.MustCompile(`id="style" data-state="([^"]+)"`)
)

// page signs in, if a user is named, and loads the page.
func (b *browser) page(ctx context.Context, user string) (string, error) {
	client := outside()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var cookies []*http.Cookie
	if user != "" {
		form := strings.NewReader(url.Values{"user": {user}}.Encode())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+"/login", form)
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		cookies = resp.Cookies()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/productpage", nil)
	if err != nil {
		return "", err
	}
	req.AddCookie(&http.Cookie{Name: "theme", Value: "plain"}) // a real browser has others too
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the page answered %s", resp.Status)
	}
	return string(body), err
}

// shown is what an expression finds on the page.
func shown(page string, what *regexp.Regexp) string {
	if found := what.FindStringSubmatch(page); found != nil {
		return found[1]
	}
	return "nothing"
}

// versions refreshes n times and counts the versions of addedvalues.
func (b *browser) versions(ctx context.Context, user string, n int) (counts, error) {
	return b.count(ctx, user, n, versionShown)
}

// buttons refreshes n times as a user of v3 and counts the states of the button.
func (b *browser) buttons(ctx context.Context, n int) (counts, error) {
	return b.count(ctx, "yunqi-01", n, buttonShown)
}

func (b *browser) count(ctx context.Context, user string, n int, what *regexp.Regexp) (counts, error) {
	c := counts{}
	for range n {
		page, err := b.page(ctx, user)
		if err != nil {
			return c, err
		}
		c[shown(page, what)]++
	}
	return c, nil
}

func (b *browser) byUser(ctx context.Context) (string, bool, error) {
	var seen []string
	ok := true
	for _, u := range []struct{ user, version string }{{"yunqi-01", "v3"}, {"anna", "v2"}, {"", "v2"}} {
		c, err := b.versions(ctx, u.user, 10)
		if err != nil {
			return strings.Join(seen, "; "), false, err
		}
		name := u.user
		if name == "" {
			name = "nobody"
		}
		seen = append(seen, name+": "+c.String())
		ok = ok && c.only(u.version)
	}
	return strings.Join(seen, "; "), ok, nil
}

// extras compares what the versions show.
func (b *browser) extras(ctx context.Context) (string, bool, error) {
	extras := map[string]bool{}
	for range 60 {
		page, err := b.page(ctx, "")
		if err != nil {
			return "", false, err
		}
		extras[shown(page, versionShown)] = strings.Contains(page, `id="risk"`) && strings.Contains(page, `id="results"`)
	}
	return fmt.Sprintf("extras: v1 %v, v2 %v, v3 %v", extras["v1"], extras["v2"], extras["v3"]), !extras["v1"] && extras["v2"] && extras["v3"], nil
}
