package mesh

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/bounds"
	"github.com/fairway-mesh/fairway/mesh/traffic"
)

// TestLimitsAreDocumented: docs/security.md has a row for each bound, with its value.
func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, l := range slices.Concat(bounds.Limits, bounds.Lengths, bounds.NamespaceLimits) {
		if row := limitRow(l); !strings.Contains(string(text), row) {
			missing = append(missing, row)
		}
	}
	if row := fmt.Sprintf("| %d clusters |", maxSubsetClusters); !strings.Contains(string(text), row) {
		missing = append(missing, row)
	}
	for _, row := range []string{fmt.Sprintf("on sidecars | %d routes |", maxRuledRoutes), fmt.Sprintf("| %d matches, %d bytes; the rules that delegate", traffic.MaxDelegatedMatches, traffic.MaxDelegatedBytes), fmt.Sprintf("| %d matches, %d bytes; the same", traffic.MaxDelegatedToAll, traffic.MaxDelegatedToAllBytes), fmt.Sprintf("| … | … × what their rules say | %d bytes |", maxRuledBytes),
		fmt.Sprintf("for more than %d ports | %d routes and %d bytes", plainPorts, maxManyRoutes, maxManyBytes)} {
		if !strings.Contains(string(text), row) {
			missing = append(missing, row)
		}
	}
	if len(missing) > 0 {
		t.Errorf("docs/security.md lacks\n%s", strings.Join(missing, "\n"))
	}
}

func limitRow(l bounds.Limit) string {
	return fmt.Sprintf("| %s | %s | %d %s |", l.Kind, l.Field, l.Most, l.Unit)
}
