package mesh

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// misread is that a mesh configuration cannot be read, because of one of its fields.
type misread struct {
	field string // its path; empty: not known
	err   error
}

func (m *misread) Error() string { return fmt.Sprintf("reading the mesh configuration: %v", m.err) }

func (m *misread) Unwrap() error { return m.err }

// findMisread finds the field for which the JSON of a mesh configuration cannot be read,
// by reading ever smaller parts of it.
func findMisread(js []byte, err error) *misread {
	var all any
	if json.Unmarshal(js, &all) != nil {
		return &misread{"", err}
	}
	fails := func(part any) error {
		text, broken := json.Marshal(part)
		if broken != nil {
			return broken
		}
		return (&meshconfig.MeshConfig{}).UnmarshalJSON(text)
	}
	if fails(all) == nil {
		return &misread{"", err}
	}
	out := &misread{"", err}
	// within makes a whole configuration of a part of it.
	within := func(part any) any { return part }
	for part := all; ; {
		next, step := partThatFails(part, func(p any) error { return fails(within(p)) })
		if step == nil {
			return out
		}
		out.field, out.err = step.under(out.field), step.err
		outer := within
		within = func(p any) any { return outer(step.wrap(p)) }
		part = next
	}
}

// failure is the step from a value to the part of it that cannot be read.
type failure struct {
	key  string // of an object
	at   int    // in a list
	list bool
	err  error
}

func (f *failure) wrap(p any) any {
	if f.list {
		return []any{p}
	}
	return map[string]any{f.key: p}
}

func (f *failure) under(path string) string {
	switch {
	case f.list:
		return fmt.Sprintf("%s[%d]", path, f.at)
	case path == "":
		return f.key
	}
	return path + "." + f.key
}

// partThatFails is the first part of an object or list that cannot be read by itself; nil
// when it is the value as a whole that cannot.
func partThatFails(value any, fails func(any) error) (any, *failure) {
	switch v := value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if err := fails(map[string]any{k: v[k]}); err != nil {
				return v[k], &failure{key: k, err: err}
			}
		}
	case []any:
		for i, e := range v {
			if err := fails([]any{e}); err != nil {
				return e, &failure{at: i, list: true, err: err}
			}
		}
	}
	return nil, nil
}
