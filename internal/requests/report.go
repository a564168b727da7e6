package requests

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// formats are what -o takes, with what writes each.
var formats = map[string]func(io.Writer, []Result) error{"text": writeText, "json": writeJSON, "junit": writeJUnit}

// failed is how many results are not as wanted.
func failed(list []Result) (n int) {
	for _, r := range list {
		if len(r.Wrong) > 0 {
			n++
		}
	}
	return n
}

// writeText writes what people read: a line for each request, and under one that fails what
// is wrong and the way that the request takes.
func writeText(w io.Writer, list []Result) error {
	suite := ""
	for _, r := range list {
		if head := r.File + ": " + r.Suite; head != suite {
			suite = head
			fmt.Fprintln(w, head)
		}
		if len(r.Wrong) == 0 {
			fmt.Fprintf(w, "  ok    %s\n", r.Name)
			continue
		}
		fmt.Fprintf(w, "  FAIL  %s (line %d)\n", r.Name, r.Line)
		for _, x := range r.Wrong {
			fmt.Fprintf(w, "        %s\n", x)
		}
		for _, s := range r.Outcome.Steps {
			fmt.Fprintf(w, "          %-12s %s: %s\n", s.What, s.Name, s.Why)
		}
		for _, s := range r.Outcome.Servers {
			fmt.Fprintf(w, "          %-12s %s: %s: %s\n", "server", s.Workload, s.Verdict.Decision, s.Verdict.Why)
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d requests are as wanted\n", len(list)-failed(list), len(list))
	return err
}

// writeJSON writes what programs read.
func writeJSON(w io.Writer, list []Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Requests int      `json:"requests"`
		Failed   int      `json:"failed"`
		Results  []Result `json:"results"`
	}{len(list), failed(list), list})
}

// The elements of JUnit's reports, as far as those who read them agree.
type (
	junit struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		File     string      `xml:"file,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes what continuous integration reads.
func writeJUnit(w io.Writer, list []Result) error {
	out := junit{Tests: len(list), Failures: failed(list)}
	for _, r := range list {
		n := len(out.Suites)
		if n == 0 || out.Suites[n-1].Name != r.Suite || out.Suites[n-1].File != r.File {
			out.Suites = append(out.Suites, junitSuite{Name: r.Suite, File: r.File})
			n++
		}
		s := &out.Suites[n-1]
		c := junitCase{Name: r.Name, Class: r.Suite, File: r.File, Line: r.Line, Time: fmt.Sprintf("%.3f", r.took.Seconds())}
		if s.Tests++; len(r.Wrong) > 0 {
			s.Failures++
			c.Failure = &junitFailure{Message: r.Wrong[0], Text: strings.Join(r.Wrong, "\n")}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
