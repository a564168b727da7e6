// Package bombs has texts for tests of everything that reads annotations.
package bombs

import (
	"fmt"
	"strings"
)

// Of are texts of about n bytes that may cost far more to read than their size says, by what
// they are.
func Of(n int) map[string]string {
	rows := func(n int, row func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			b.WriteString(row(i))
		}
		return b.String()
	}
	again := func(part string) string { return strings.Repeat(part, n/len(part)) }
	half := strings.Repeat("x", n/2)
	return map[string]string{
		"a long text many times": "a: &a " + half + "\nb: [" + strings.Repeat("*a,", n/6) + "]",
		"a mapping many times":   "a: &a {" + rows(n/2, func(i int) string { return fmt.Sprintf("k%d: 1,", i) }) + "}\nb: [" + strings.Repeat("{<<: *a},", n/18) + "]",
		"aliases of aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + rows(n, func(i int) string {
			return fmt.Sprintf("a%d: &a%[1]d [%s]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 8))
		}),
		"an alias of itself":      "gatewayTopology: &a {a: *a, b: [*a, *a]}",
		"many anchors":            again("- &a\n"),
		"open lists":              again("["),
		"lists in lists":          strings.Repeat("[", n/2) + strings.Repeat("]", n/2),
		"open mappings":           again("{"),
		"mappings in mappings":    strings.Repeat(`{"a":`, n/6) + "1" + strings.Repeat("}", n/6),
		"dashes":                  again("- "),
		"questions":               again("? "),
		"indentation":             rows(n, func(i int) string { return strings.Repeat(" ", i) + "a:\n" }),
		"a long number":           "gatewayTopology: {numTrustedProxies: 1" + again("0") + "}",
		"a large exponent":        "gatewayTopology: {numTrustedProxies: 1e" + again("9") + "}",
		"a number of many digits": "concurrency: 0." + again("1"),
		"a number of base 60":     "concurrency: 1" + again(":1"),
		"an unknown word":         "gatewayTopology: {forwardClientCertDetails: " + again("X") + "}",
		"a long text":             "proxyMetadata: " + again("y"),
		"many fields":             rows(n, func(i int) string { return fmt.Sprintf("k%d: 1\n", i) }),
		"many entries":            "proxyMetadata: {" + rows(n, func(i int) string { return fmt.Sprintf("k%d: 1,", i) }) + "}",
		"escapes":                 `a: "` + again(`\x41`) + `"`,
		"deep in a known field":   "gatewayTopology: {later: " + strings.Repeat("[", n/8) + strings.Repeat("]", n/8) + "}",
		"lines without words":     again("#\n"),
	}
}
