package inject

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// apply does to raw, as the user wrote it, what was done to before, its typed
// form, to make it after. What the types do not know stays. raw is changed in
// place where it can be.
func apply(raw, before, after any) any {
	if reflect.DeepEqual(before, after) {
		return raw
	}
	switch after := after.(type) {
	case map[string]any:
		rawFields, ok := raw.(map[string]any)
		if !ok {
			return after
		}
		beforeFields, _ := before.(map[string]any)
		for key := range beforeFields {
			if _, kept := after[key]; !kept {
				delete(rawFields, key)
			}
		}
		for key, value := range after {
			old, had := beforeFields[key]
			switch {
			case !had:
				rawFields[key] = value
			case !reflect.DeepEqual(old, value):
				rawFields[key] = apply(rawFields[key], old, value)
			}
		}
		return rawFields
	case []any:
		return applyList(raw, before, after)
	}
	return after
}

// applyList keeps those of the user's items that are still there. raw and
// before are the same list in two forms, so item i of one is item i of the other.
func applyList(raw, before any, after []any) any {
	rawItems, isList := raw.([]any)
	beforeItems, wasList := before.([]any)
	if !isList || !wasList || len(rawItems) != len(beforeItems) {
		return after
	}
	list := make([]any, len(after))
	for i, from := range continued(beforeItems, after) {
		list[i] = after[i]
		if from >= 0 {
			list[i] = apply(rawItems[from], beforeItems[from], after[i])
		}
	}
	return list
}

// continued says which item of before each item of after was made from: the
// one of the same name, else an equal one, else, when none was added or taken
// away, the one in the same place. -1 is a new item.
func continued(before, after []any) []int {
	from := make([]int, len(after))
	used := make([]bool, len(before))
	alike := map[string][]int{} // the items of before by what makes them the same, in order
	for j, b := range before {
		key := sameness(b)
		alike[key] = append(alike[key], j)
	}
	for i, item := range after {
		from[i] = -1
		key := sameness(item)
		for from[i] < 0 && len(alike[key]) > 0 {
			if j := alike[key][0]; !used[j] {
				from[i] = j
			}
			alike[key] = alike[key][1:]
		}
		if from[i] < 0 && len(before) == len(after) && !used[i] {
			from[i] = i
		}
		if from[i] >= 0 {
			used[from[i]] = true
		}
	}
	return from
}

// sameness is equal for two items that are the same one: its name or, without a name, all of it.
func sameness(item any) string {
	if name := nameOf(item); name != "" {
		return "name " + name
	}
	text, err := json.Marshal(item)
	if err != nil { // it came from JSON
		panic(fmt.Sprintf("encoding an item of a Pod's list: %v", err))
	}
	return string(text)
}

func nameOf(item any) string {
	fields, _ := item.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}
