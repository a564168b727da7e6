package sample

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed productpage.html
var pageText string

// page is what the template shows. A service that did not answer is nil, and
// its trouble is said.
type page struct {
	Me             identity
	User           string
	Details        *productList
	DetailsTrouble string
	Added          *added
	AddedTrouble   string
	Styled         bool // the user asked for the style, and there is one
	Accent         template.CSS
}

// StyleEnabled says whether the style button can be used.
func (p page) StyleEnabled() bool {
	return p.Added != nil && p.Added.Style != nil && p.Added.Style.Name != ""
}

// StyleWhy says why it cannot.
func (p page) StyleWhy() string {
	switch {
	case p.Added == nil || p.Added.Style == nil:
		return "This version has no styles."
	default:
		return "Styles cannot be fetched: " + p.Added.Style.Trouble
	}
}

func productpageCommand() *cobra.Command {
	port := bankPort
	var detailsURL, addedURL string
	cmd := &cobra.Command{
		Use:   "productpage",
		Short: "The bank's web page, at /productpage",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), port, productpage(self(), detailsURL, addedURL))
		},
	}
	portFlag(cmd, &port)
	cmd.Flags().StringVar(&detailsURL, "details", "http://details:9080", "URL of the service details")
	cmd.Flags().StringVar(&addedURL, "addedvalues", "http://addedvalues:9080", "URL of the service addedvalues")
	return cmd
}

// userCookie holds the name that the user gave.
const userCookie = "user"

var userName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)

func productpage(me identity, detailsURL, addedURL string) http.Handler {
	shown := template.Must(template.New("page").Funcs(template.FuncMap{
		"stars": func(n int) string { return strings.Repeat("●", n) + strings.Repeat("○", max(0, 5-n)) },
	}).Parse(pageText))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /productpage", func(w http.ResponseWriter, r *http.Request) {
		p := page{Me: me, Accent: "#0b6e4f"}
		if c, err := r.Cookie(userCookie); err == nil && userName.MatchString(c.Value) {
			p.User = c.Value
			r.Header.Set("End-User", p.User)
		}
		if err := get(r, detailsURL+"/details", &p.Details); err != nil {
			p.Details, p.DetailsTrouble = nil, err.Error()
		}
		if err := get(r, addedURL+"/addedvalues", &p.Added); err != nil {
			p.Added, p.AddedTrouble = nil, err.Error()
		}
		if p.StyleEnabled() && r.FormValue("style") == "on" && colour.MatchString(p.Added.Style.Accent) {
			p.Styled, p.Accent = true, template.CSS(p.Added.Style.Accent) // checked to be a colour
		}
		var text bytes.Buffer
		if err := shown.Execute(&text, p); err != nil {
			http.Error(w, fmt.Sprintf("showing the page: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = text.WriteTo(w) // the client went away
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		name := r.PostFormValue("user")
		if !userName.MatchString(name) {
			http.Error(w, "The user name may have letters, digits, dots, dashes and underscores, at most 40.", http.StatusBadRequest)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: userCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/productpage", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: userCookie, Path: "/", MaxAge: -1})
		http.Redirect(w, r, "/productpage", http.StatusSeeOther)
	})
	return mux
}

var colour = regexp.MustCompile(`^#[0-9a-f]{6}$`)
