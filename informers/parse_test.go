package informers

import (
	"strings"
	"testing"

	"github.com/fairway-mesh/fairway/mesh/object"
)

func TestParse(t *testing.T) {
	objects, findings, err := Parse([]byte(`# two documents, a list, and what is none
apiVersion: v1
kind: Service
metadata: {name: a}
---
apiVersion: v1
kind: List
items:
- {apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: b, namespace: shop}, spec: {servers: []}}
- {apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: c, namespace: shop}, spec: {servers: 7}}
---
just text
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: d}
---
: : not YAML
`))
	if err == nil || !strings.Contains(err.Error(), "document at line 11: ") || !strings.Contains(err.Error(), "document at line 17: ") {
		t.Errorf("the error is %v", err)
	}
	if len(findings) != 1 || findings[0].Code != object.CodeForeign {
		t.Errorf("the findings are %v", findings)
	}
	if len(objects) != 3 {
		t.Fatalf("there are %d objects", len(objects))
	}
	for i, want := range []struct {
		ref  object.Ref
		line int
		read bool
	}{
		{object.Ref{Kind: object.KindService, Namespace: "default", Name: "a"}, 1, true},
		{object.Ref{Kind: object.KindGateway, Namespace: "shop", Name: "b"}, 5, true},
		{object.Ref{Kind: object.KindGateway, Namespace: "shop", Name: "c"}, 5, false},
	} {
		o := objects[i]
		if o.Ref != want.ref || o.Line != want.line || (o.Object != nil) != want.read || (len(o.Findings) == 0) != want.read {
			t.Errorf("%d: %+v, want %+v", i, o, want)
		}
	}
}
