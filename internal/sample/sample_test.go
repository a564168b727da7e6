package sample

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func read(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestFlaskapp(t *testing.T) {
	t.Setenv("version", "v2")
	s := httptest.NewServer(flaskapp())
	defer s.Close()
	for path, want := range map[string]string{
		"/env/version": "v2",
		"/fetch?url=" + url.QueryEscape(s.URL+"/env/version"): "v2",
	} {
		if code, got := read(t, s.Client(), s.URL+path); code != 200 || got != want {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if code, _ := read(t, s.Client(), s.URL+"/env/no-such-variable"); code != 404 {
		t.Errorf("a variable that is not set: %d, want 404", code)
	}
}

func TestEcho(t *testing.T) {
	s := httptest.NewServer(flaskapp())
	defer s.Close()
	resp, err := s.Client().Post(s.URL+"/echo?status=404&size=300&delay=1ms", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 404 || len(body) != 300 {
		t.Errorf("%s, %d bytes; want 404 and 300", resp.Status, len(body))
	}
	for _, query := range []string{"status=1000", "size=-1", "delay=soon"} {
		if code, _ := read(t, s.Client(), s.URL+"/echo?"+query); code != 400 {
			t.Errorf("%s: %d, want 400", query, code)
		}
	}
}

func TestGet(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		if n == 3 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		io.WriteString(w, r.Header.Get("X-Version")+" "+r.Host+"\n")
	}))
	defer s.Close()
	var out strings.Builder
	cmd := NewCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"get", "-n", "4", "-H", "x-version: v1", "-H", "Host: shop.example", s.URL})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "     1  418 I'm a teapot\n     3  v1 shop.example\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestKubia(t *testing.T) {
	t.Setenv("version", "v1")
	t.Setenv("HOSTNAME", "kubia-0")
	s := httptest.NewServer(kubia())
	defer s.Close()
	if _, got := read(t, s.Client(), s.URL); got != "You've hit v1 kubia-0\n" {
		t.Errorf("got %q", got)
	}
}

// bank runs all its services; the site outside works or not.
func bank(t *testing.T, version string, outside bool) (pageURL string, users chan string) {
	t.Helper()
	start := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	site := httptest.NewServer(gallery())
	t.Cleanup(site.Close)
	if !outside {
		site.Close()
	}
	users = make(chan string, 100)
	values := addedvalues(identity{Version: version, Pod: "a"}, start(styletransfer(site.URL)))
	watched := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users <- r.Header.Get("End-User") + " " + r.Header.Get("Cookie")
		values.ServeHTTP(w, r)
	})
	return start(productpage(identity{Version: "v1", Pod: "p"}, start(details()), start(watched))), users
}

func TestPageShowsTheVersion(t *testing.T) {
	for _, c := range []struct {
		version        string
		outside        bool
		extras         bool
		style, mustSay string
	}{
		{"v1", true, false, "disabled", "This version has no styles."},
		{"v2", true, true, "disabled", "This version has no styles."},
		{"v3", true, true, "enabled", "Starry night"},
		{"v3", false, true, "disabled", "Styles cannot be fetched"},
	} {
		base, _ := bank(t, c.version, c.outside)
		_, text := read(t, http.DefaultClient, base+"/productpage")
		if !strings.Contains(text, `data-service="addedvalues" data-version="`+c.version+`"`) {
			t.Errorf("%+v: version not shown", c)
		}
		if strings.Contains(text, `id="risk"`) != c.extras || strings.Contains(text, `id="results"`) != c.extras {
			t.Errorf("%+v: extras wrong", c)
		}
		if !strings.Contains(text, `data-state="`+c.style+`"`) || !strings.Contains(text, c.mustSay) {
			t.Errorf("%+v: style button wrong:\n%s", c, text)
		}
	}
}

func TestLoginIsPassedOn(t *testing.T) {
	base, users := bank(t, "v3", true)
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	resp, err := client.PostForm(base+"/login", url.Values{"user": {"yunqi-01"}})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if got := <-users; got != "yunqi-01 user=yunqi-01" {
		t.Errorf("addedvalues got end-user and cookie %q", got)
	}
	if !strings.Contains(string(text), `<strong id="user">yunqi-01</strong>`) {
		t.Error("the page does not greet the user")
	}
	if _, text := read(t, client, base+"/productpage?style=on"); !strings.Contains(text, "--accent: #1d4e89") {
		t.Error("the style is not applied")
	}
	resp, err = client.PostForm(base+"/login", url.Values{"user": {"a; b=<script>"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("a strange user name: %s", resp.Status)
	}
}

func TestPageWithoutServices(t *testing.T) {
	s := httptest.NewServer(productpage(identity{}, "http://127.0.0.1:1", "http://127.0.0.1:1"))
	defer s.Close()
	code, text := read(t, s.Client(), s.URL+"/productpage")
	if code != 200 || !strings.Contains(text, "The products cannot be shown") || !strings.Contains(text, "Added values cannot be shown") {
		t.Errorf("%d %s", code, text)
	}
}
