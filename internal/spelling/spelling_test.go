package spelling

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"VirtualService", "DestinationRule", "Sidecar"}
	for name, want := range map[string]string{
		"VirtualServce": "VirtualService", "virtualservice": "VirtualService", "Sidecars": "Sidecar", "iSdecar": "Sidecar",
		"Gateway": "", "": "", "DestinationRulers!": "", "DestinationRulex": "DestinationRule",
	} {
		if got := Closest(name, known); got != want {
			t.Errorf("%q is taken for %q, want %q", name, got, want)
		}
	}
}
