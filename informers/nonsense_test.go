package informers

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/fairway-mesh/fairway/mesh/object"
	"github.com/fairway-mesh/fairway/test/faults"
)

// edited reads the object of an event, lets edit change it, and writes it again.
func edited(e faults.Event, edit func(map[string]any)) faults.Event {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	form := protobuf.NewSerializer(scheme, scheme)
	var fields map[string]any
	var typed runtime.Object
	if e.Protobuf {
		o, gvk, err := form.Decode(e.Object, nil, nil)
		if err != nil {
			return e // of another group
		}
		o.GetObjectKind().SetGroupVersionKind(*gvk)
		if fields, err = runtime.DefaultUnstructuredConverter.ToUnstructured(o); err != nil {
			panic(err)
		}
		typed = o
	} else {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(e.Object); err != nil {
			panic(err)
		}
		fields = u.Object
	}
	edit(fields)
	var text bytes.Buffer
	if e.Protobuf {
		gvk := (&unstructured.Unstructured{Object: fields}).GroupVersionKind()
		o := typed
		if gvk != typed.GetObjectKind().GroupVersionKind() {
			var err error
			if o, err = scheme.New(gvk); err != nil {
				panic(err)
			}
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, o); err != nil {
			return e // what protobuf cannot say
		}
		if err := form.Encode(o, &text); err != nil {
			panic(err)
		}
	} else if err := unstructured.UnstructuredJSONScheme.Encode(&unstructured.Unstructured{Object: fields}, &text); err != nil {
		panic(err)
	}
	return faults.Event{Type: e.Type, Object: bytes.TrimSpace(text.Bytes()), Protobuf: e.Protobuf}
}

// metaOf edits that of an object.
func metaOf(edit func(map[string]any)) func(faults.Event) faults.Event {
	return func(e faults.Event) faults.Event {
		return edited(e, func(o map[string]any) {
			if m, ok := o["metadata"].(map[string]any); ok {
				edit(m)
			}
		})
	}
}

// inPlace is what comes in place of each event about an object; bookmarks come as they are.
func inPlace(change func(faults.Event) faults.Event) func(faults.Event) []faults.Event {
	return func(e faults.Event) []faults.Event {
		if e.Type == "BOOKMARK" {
			return []faults.Event{e}
		}
		return []faults.Event{change(e)}
	}
}

// after is what comes after each event about an object.
func after(change func(faults.Event) faults.Event) func(faults.Event) []faults.Event {
	return func(e faults.Event) []faults.Event {
		if e.Type == "BOOKMARK" {
			return []faults.Event{e}
		}
		return []faults.Event{e, change(e)}
	}
}

func typed(t string) func(faults.Event) faults.Event {
	return func(e faults.Event) faults.Event { e.Type = t; return e }
}

func says(t, text string) func(faults.Event) faults.Event {
	return func(e faults.Event) faults.Event {
		return faults.Event{Type: t, Object: []byte(text), Protobuf: e.Protobuf}
	}
}

// versioned is a bookmark of a version.
func versioned(version string) func(faults.Event) faults.Event {
	return func(e faults.Event) faults.Event {
		e.Type = "BOOKMARK"
		return metaOf(func(m map[string]any) { m["resourceVersion"] = version })(e)
	}
}

// swapped holds back each event until the next one has gone.
func swapped() func(faults.Event) []faults.Event {
	var mu sync.Mutex
	var held []faults.Event
	return func(e faults.Event) []faults.Event {
		mu.Lock()
		defer mu.Unlock()
		out := append([]faults.Event{e}, held...)
		held = nil
		if len(out) == 1 {
			held, out = out, nil
		}
		return out
	}
}

// repeating sends after each event all that came before, the newest first.
func repeating() func(faults.Event) []faults.Event {
	var mu sync.Mutex
	var past []faults.Event
	return func(e faults.Event) []faults.Event {
		mu.Lock()
		defer mu.Unlock()
		out := append([]faults.Event{e}, past...)
		past = slices.Insert(past, 0, e)
		return out
	}
}

// TestWatchesThatTalkNonsense has watches say what no API server says. Nothing of it
// reaches the mesh for long, nothing else is lost, and the process goes on.
func TestWatchesThatTalkNonsense(t *testing.T) {
	t.Parallel()
	short := []string{"another kind", "an object without fields", "an unknown type", "a bookmark of nonsense", "in another order", "all again"}
	for name, events := range map[string]func() func(faults.Event) []faults.Event{
		"another kind": func() func(faults.Event) []faults.Event {
			return inPlace(func(e faults.Event) faults.Event {
				return edited(e, func(o map[string]any) {
					switch o["kind"] {
					case "Service":
						o["kind"] = "Pod"
						delete(o, "spec")
						delete(o, "status")
					case "DestinationRule":
						o["kind"] = "Gateway"
					}
				})
			})
		},
		"a kind that nobody knows": func() func(faults.Event) []faults.Event {
			return inPlace(func(e faults.Event) faults.Event {
				return says(e.Type, `{"apiVersion":"example.com/v1","kind":"Nothing","metadata":{"name":"x"}}`)(e)
			})
		},
		"an unknown type":          func() func(faults.Event) []faults.Event { return inPlace(typed("NONSENSE")) },
		"an error that is none":    func() func(faults.Event) []faults.Event { return inPlace(typed("ERROR")) },
		"an error of nothing":      func() func(faults.Event) []faults.Event { return inPlace(says("ERROR", "{}")) },
		"no object":                func() func(faults.Event) []faults.Event { return inPlace(says("ADDED", "null")) },
		"an object without fields": func() func(faults.Event) []faults.Event { return inPlace(says("MODIFIED", "{}")) },
		"no JSON":                  func() func(faults.Event) []faults.Event { return inPlace(says("", "<html>\n")) },
		"a bookmark of nonsense":   func() func(faults.Event) []faults.Event { return after(versioned("nonsense")) },
		"a bookmark of the future": func() func(faults.Event) []faults.Event { return after(versioned("999999999999")) },
		"a bookmark of the past":   func() func(faults.Event) []faults.Event { return after(versioned("1")) },
		"a bookmark of no version": func() func(faults.Event) []faults.Event { return after(versioned("")) },
		"twice":                    func() func(faults.Event) []faults.Event { return after(func(e faults.Event) faults.Event { return e }) },
		"in another order":         swapped,
		"all again":                repeating,
		"no version": func() func(faults.Event) []faults.Event {
			return inPlace(metaOf(func(m map[string]any) { delete(m, "resourceVersion") }))
		},
		"no name": func() func(faults.Event) []faults.Event {
			return inPlace(metaOf(func(m map[string]any) { delete(m, "name") }))
		},
		"20 MB": func() func(faults.Event) []faults.Event {
			return inPlace(metaOf(func(m map[string]any) { m["annotations"] = map[string]any{"a": strings.Repeat("x", 20<<20)} }))
		},
		"deletions are lost": func() func(faults.Event) []faults.Event {
			return func(e faults.Event) []faults.Event {
				if e.Type == "DELETED" {
					return nil
				}
				return []faults.Event{e}
			}
		},
		"deletions that are none": func() func(faults.Event) []faults.Event { return inPlace(typed("DELETED")) },
	} {
		if !faults.Long() && !slices.Contains(short, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIll(t, "nonsense-"+strings.ReplaceAll(strings.ToLower(name), " ", "-"))
			rule := func(name string) object.Ref {
				return object.Ref{Kind: object.KindDestinationRule, Namespace: i.space, Name: name}
			}
			apply := func(name string) {
				i.apply(name)
				i.api.apply(rule(name), "v1", examples[object.KindDestinationRule].body)
			}
			has := func(name string) func() bool {
				return func() bool { return i.knows(name)() && i.seen.has(rule(name)) != nil }
			}
			gone := func(name string) func() bool {
				return func() bool { return !i.knows(name)() && i.seen.has(rule(name)) == nil }
			}
			remove := func(name string) {
				i.api.remove(i.ref(name), "v1")
				i.api.remove(rule(name), "v1")
			}
			label := func(name, value string) {
				i.api.label(i.ref(name), "v1", value)
				i.api.label(rule(name), "v1", value)
			}
			labelled := func(name, value string) func() bool {
				return func() bool {
					return has(name)() && i.seen.has(i.ref(name)).GetLabels()["test"] == value && i.seen.has(rule(name)).GetLabels()["test"] == value
				}
			}
			i.api.apply(rule("before"), "v1", examples[object.KindDestinationRule].body)
			apply("kept")
			i.await("what is there", func() bool { return has("before")() && has("kept")() })
			i.link.Set(faults.Fault{Verb: faults.Watch, Resource: "services", Events: events()}, faults.Fault{Verb: faults.Watch, Resource: "destinationrules", Events: events()})
			apply("new")
			for x := range 3 {
				label("kept", fmt.Sprint("l", x))
			}
			remove("before")
			apply("new2")
			right := func() bool {
				return has("new")() && has("new2")() && gone("before")() && labelled("kept", "l2")()
			}
			began := time.Now()
			i.await("what is new, and what is gone", right)
			t.Logf("right after %s", time.Since(began).Round(time.Millisecond))
			i.link.Set()
			label("kept", "last")
			i.await("what comes when all is well", func() bool { return has("new")() && has("new2")() && gone("before")() && labelled("kept", "last")() })
			i.await("fresh views", i.fresh)
			if n := strings.Count(i.said.String(), "\n"); n > 80 {
				t.Errorf("%d lines:\n%s", n, i.said.String())
			}
		})
	}
}

// TestListsOfNonsense reads lists anew of which the API server makes nonsense. What was
// read stays, and what is new is read as soon as a list makes sense again.
func TestListsOfNonsense(t *testing.T) {
	t.Parallel()
	short := []string{"garbage that is said to be packed", "no items", "another kind", "more that never comes"}
	for name, f := range map[string]faults.Fault{
		"garbage that is said to be packed": {Body: func([]byte) []byte { return bytes.Repeat([]byte("garbage"), 1000) }, Encoding: "gzip"},
		"a page for people":                 {Body: func([]byte) []byte { return []byte("<html>Bad Gateway</html>") }},
		"nothing":                           {Body: func([]byte) []byte { return nil }},
		"null":                              {Body: func([]byte) []byte { return []byte("null") }},
		"no items": {Body: func([]byte) []byte {
			return []byte(`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"}}`)
		}},
		"items of nothing": {Body: func([]byte) []byte {
			return []byte(`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[null]}`)
		}},
		"another kind": {Body: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("ServiceList"), []byte("PodList")) }},
		"a version that is no number": {Body: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"metadata":{"resourceVersion":"`), []byte(`"metadata":{"resourceVersion":"x`), 1)
		}},
		"a version of the future": {Body: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"metadata":{"resourceVersion":"`), []byte(`"metadata":{"resourceVersion":"99999`), 1)
		}},
		"more that never comes": {Body: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"metadata":{`), []byte(`"metadata":{"continue":"nonsense",`), 1)
		}},
		"a status": {Body: func([]byte) []byte {
			return []byte(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`)
		}},
	} {
		if !faults.Long() && !slices.Contains(short, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIll(t, "list-"+strings.ReplaceAll(strings.ToLower(name), " ", "-"))
			f.Verb, f.Resource = faults.List, "services"
			i.link.Set(faults.Fault{Verb: faults.Watch, Resource: "services", Status: 400}, f)
			i.link.Link(faults.Resets)
			i.apply("meanwhile")
			asked := i.link.Requests(faults.List, "services")
			i.await("more lists", func() bool { return i.link.Requests(faults.List, "services") > asked+4 })
			if !i.knows("before")() {
				t.Error("what was read is gone")
			}
			i.link.Set()
			i.await("what is new", i.knows("meanwhile"))
			if !i.knows("before")() {
				t.Error("what was read is gone")
			}
			i.await("fresh views", i.fresh)
			if n := strings.Count(i.said.String(), "\n"); n > 80 {
				t.Errorf("%d lines:\n%s", n, i.said.String())
			}
		})
	}
}
