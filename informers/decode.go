package informers

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	kjson "sigs.k8s.io/json"

	"github.com/fairway-mesh/fairway/mesh/object"
)

// decode reads the JSON of one object as people wrote it, whatever version of
// the kind it is in. Fields that the kind does not have are findings and do not
// stand in the way; a value of a wrong type does: then the object is nil and
// the findings say which field.
func (k *kind) decode(ref object.Ref, js []byte) (kubeObject, []object.Finding) {
	if err := CheckText(js, MaxValues); err != nil {
		return nil, []object.Finding{{Object: ref, Code: object.CodeInvalid, Message: err.Error() + "; this version of the object is not in force"}}
	}
	js = k.said(js)
	o := k.make()
	strict, err := kjson.UnmarshalStrict(js, o)
	var findings []object.Finding
	for _, e := range strict {
		field, what := strictField(e)
		findings = append(findings, object.Finding{Object: ref, Field: field, Code: object.CodeUnknownField, Message: what})
	}
	if k.proto {
		unknown, wrong := checkSpec(js, spec(o))
		for _, field := range unknown {
			findings = append(findings, object.Finding{Object: ref, Field: field, Code: object.CodeUnknownField, Message: unknownField})
		}
		if wrong != nil && (err != nil || wrong.excluded) {
			return nil, append(findings, object.Finding{Object: ref, Field: wrong.field, Code: object.CodeInvalid, Message: wrong.message + notInForce})
		}
	}
	if err != nil {
		return nil, append(findings, object.Finding{Object: ref, Field: typeField(err), Code: object.CodeInvalid, Message: err.Error() + notInForce})
	}
	if k.defect(findings) != nil {
		return nil, findings
	}
	return o, findings
}

// decodeServed reads the JSON of one object as an API server gave it out: that
// has already taken out or refused fields that the kind does not have.
func (k *kind) decodeServed(js []byte) (kubeObject, []object.Finding) {
	if (k.mesh == object.KindAuthorizationPolicy || k.mesh == object.KindGateway) && CheckText(js, MaxValues) == nil {
		js = k.said(js)
	}
	o := k.make()
	if CheckText(js, MaxValues) == nil && kjson.UnmarshalCaseSensitivePreserveInts(js, o) == nil {
		return o, nil
	}
	var h header
	_ = kjson.UnmarshalCaseSensitivePreserveInts(js, &h) // a header that cannot be read names nothing
	ref := object.Ref{Kind: k.mesh, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	return k.decode(ref, js)
}

const (
	unknownField = "unknown field: it is ignored; correct its name or its place (indentation), or take it out"
	notInForce   = "; this version of the object is not in force: correct the field"
)

// spec is the protobuf message of an object of istio.io.
func spec(o kubeObject) proto.Message {
	m, _ := reflect.ValueOf(o).Elem().FieldByName("Spec").Addr().Interface().(proto.Message)
	return m
}

// strictField takes the path of the field out of an error of UnmarshalStrict.
func strictField(err error) (field, what string) {
	kind, quoted, ok := strings.Cut(err.Error(), " field ")
	field, uerr := strconv.Unquote(quoted)
	if !ok || uerr != nil {
		return "", err.Error()
	}
	if kind == "duplicate" {
		return field, "the field is given twice: the last one counts; take the other out"
	}
	return field, unknownField
}

// typeField is the path of the field whose value has a wrong type, where the
// error knows: "json: cannot unmarshal X into Go struct field TYPE.PATH of type Y".
func typeField(err error) string {
	_, at, _ := strings.Cut(err.Error(), " Go struct field ")
	at, _, _ = strings.Cut(at, " of type ")
	_, field, _ := strings.Cut(at, ".")
	return field
}

// mismatch is a value that its field cannot hold.
type mismatch struct {
	field, message string
	excluded       bool // by another field, although each of the two can be read
}

func wrongType(field, want string, got any) *mismatch {
	is := "null"
	switch got.(type) {
	case string:
		is = "text"
	case bool:
		is = "true or false"
	case float64, int64:
		is = "a number"
	case []any:
		is = "a list"
	case map[string]any:
		is = "an object"
	}
	return &mismatch{field: field, message: fmt.Sprintf("must be %s and is %s", want, is)}
}
