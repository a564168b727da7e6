package inject

import "reflect"

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

// applyList keeps those of the user's items that have the name of a new one.
func applyList(raw, before any, after []any) any {
	rawItems, beforeItems := byName(raw), byName(before)
	if rawItems == nil || beforeItems == nil {
		return after
	}
	list := make([]any, len(after))
	for i, item := range after {
		name := nameOf(item)
		list[i] = item
		if old, had := beforeItems[name]; had && rawItems[name] != nil {
			list[i] = apply(rawItems[name], old, item)
		}
	}
	return list
}

// byName indexes a list whose items all have different names. Otherwise nil.
func byName(list any) map[string]any {
	items, ok := list.([]any)
	if !ok {
		return nil
	}
	index := map[string]any{}
	for _, item := range items {
		name := nameOf(item)
		if name == "" || index[name] != nil {
			return nil
		}
		index[name] = item
	}
	return index
}

func nameOf(item any) string {
	fields, _ := item.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}
