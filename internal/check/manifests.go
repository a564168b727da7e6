package check

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/parallel"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// errInvalid is what the command returns when something is wrong.
var errInvalid = errors.New("invalid objects: see above")

// manifests are the objects of texts, with where each stands.
type manifests struct {
	objects   []informers.Object
	positions []position // of the objects
	templates []template
	found     Findings // what is wrong with how they are written
}

// template is that of a workload's pods, with where its workload stands.
type template struct {
	inject.Template
	ref      object.Ref // of the workload
	position position
}

// readManifests reads the objects of texts.
func readManifests(texts []text) *manifests {
	m := &manifests{}
	documents := make([][]informers.Document, len(texts))
	parallel.Each(len(texts), func(i int) { documents[i] = informers.Documents(texts[i].content) })
	var all []piece
	for i, t := range texts {
		for _, d := range documents[i] {
			all = append(all, piece{Document: d, file: t.name})
		}
	}
	parallel.Each(len(all), func(i int) { all[i].templates = inject.Templates(all[i].JSON) })
	for _, d := range all {
		m.document(d)
	}
	m.duplicates()
	m.found.Objects = len(m.objects)
	for _, t := range m.templates {
		if t.Kind != "Pod" { // which is among the objects
			m.found.Objects++
		}
	}
	return m
}

// piece is a document of a file, with the templates of Pods in it.
type piece struct {
	informers.Document
	file      string
	templates []inject.Template
}

// document takes in one document.
func (m *manifests) document(d piece) {
	file := d.file
	at := position{file: file, at: &lines{text: d.Text, from: d.Line}, from: d.Line}
	if d.Err != nil {
		f := object.Finding{Object: object.Ref{Kind: informers.KindFile, Name: file}, Code: object.CodeUnreadable, Message: d.Err.Error()}
		m.found.add(f, object.SeverityError, position{file: file, from: cmp.Or(lineIn(f.Message), d.Line)})
		return
	}
	for _, f := range d.Findings {
		m.found.add(f, severityOf(f), at)
	}
	for _, o := range d.Objects {
		p := at
		p.path = o.Path
		m.objects, m.positions = append(m.objects, o), append(m.positions, p)
	}
	for _, t := range d.templates {
		p := at
		p.path = strings.TrimSuffix(strings.TrimSuffix(t.Path, holderPath(t.Path)), ".")
		x := template{t, object.Ref{Kind: object.Kind(t.Kind), Namespace: t.Namespace, Name: t.Name}, p}
		m.templates = append(m.templates, x)
		x.findings(&m.found)
	}
}

// holderPath is the path of a template in its object, of that in its document.
func holderPath(path string) string {
	if strings.HasPrefix(path, "items[") {
		_, path, _ = strings.Cut(path, ".")
	}
	return path
}

// ofGateway tells whether the pods are nothing but a proxy, as those of gateways are.
func (t template) ofGateway() bool {
	return t.Pod != nil && len(t.Pod.Spec.Containers) == 1 && t.Pod.Spec.Containers[0].Name == inject.ProxyContainer
}

// findings are what keeps the proxy from being added to the pods, and what of the template
// is ignored.
func (t template) findings(to *Findings) {
	at := holderPath(t.Path)
	under := func(field string) string { return strings.TrimPrefix(at+"."+field, ".") }
	for _, err := range t.Problems {
		f := object.Finding{Object: t.ref, Field: under(fieldIn(err.Error())), Code: object.CodeInjection, Message: "the proxy cannot be added: " + err.Error()}
		to.add(f, object.SeverityError, t.position)
	}
	for _, note := range t.Misplaced {
		f := object.Finding{Object: t.ref, Field: fieldIn(note), Code: object.CodeInjection, Message: note}
		to.add(f, object.SeverityWarning, t.position)
	}
	for _, note := range t.Notes {
		f := object.Finding{Object: t.ref, Field: under(fieldIn(note)), Code: object.CodeInjection, Message: note}
		to.add(f, object.SeverityWarning, t.position)
	}
}

var (
	annotationOf = regexp.MustCompile(`\bannotations? ([a-z0-9.-]+/[A-Za-z0-9.-]+)`)
	labelOf      = regexp.MustCompile(`\blabel ([a-z0-9.-]+/[A-Za-z0-9.-]+)`)
	specOf       = regexp.MustCompile(`\bspec\.[A-Za-z0-9.\[\]]+`)
	lineOf       = regexp.MustCompile(`\bline (\d+)`)
)

// fieldIn is the field of a pod that a sentence of injection speaks of.
func fieldIn(sentence string) string {
	if l := annotationOf.FindStringSubmatch(sentence); l != nil {
		return "metadata.annotations[" + l[1] + "]"
	}
	if l := labelOf.FindStringSubmatch(sentence); l != nil {
		return "metadata.labels[" + l[1] + "]"
	}
	return specOf.FindString(sentence)
}

// lineIn is the first line that a sentence names; 0: none.
func lineIn(sentence string) int {
	if l := lineOf.FindStringSubmatch(sentence); l != nil {
		if n, err := strconv.Atoi(l[1]); err == nil {
			return n
		}
	}
	return 0
}

// duplicates reports objects that are defined more than once, each with both places.
func (m *manifests) duplicates() {
	first := map[object.Ref]int{}
	for i, o := range m.objects {
		j, again := first[o.Ref]
		if !again {
			first[o.Ref] = i
			continue
		}
		one, two := m.positions[j], m.positions[i]
		m.found.add(object.Finding{Object: o.Ref, Field: "metadata.name", Code: object.CodeDuplicate, Winner: o.Ref,
			Message: fmt.Sprintf("is defined here and in %s:%d; of two the one that is applied last counts, and in a directory of the control plane the first: remove one of them, or give it another name",
				one.file, one.line(""))}, object.SeverityWarning, two)
	}
}

// ofCluster are the objects of a cluster, as if they were given.
func ofCluster(base *cluster) *manifests {
	m := &manifests{}
	for _, f := range base.found {
		m.found.add(f, severityOf(f), position{})
	}
	for _, c := range base.objects {
		if c.Object != nil {
			m.objects, m.positions = append(m.objects, informers.Object{Change: c}), append(m.positions, position{})
		}
	}
	m.found.Objects = len(m.objects)
	return m
}
