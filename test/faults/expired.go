package faults

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// expired is the event of a watch that says that its version is too old, in
// protobuf or JSON.
func expired(binaryForm bool) []byte {
	status := &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "a fault that a test made: too old resource version",
	}
	if !binaryForm {
		object, err := json.Marshal(status)
		if err != nil { // a plain struct
			panic(err)
		}
		return Event{Type: "ERROR", Object: object}.framed()
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	object, err := runtime.Encode(protobuf.NewSerializer(scheme, scheme), status)
	if err != nil {
		panic(err)
	}
	return Event{Type: "ERROR", Object: object, Protobuf: true}.framed()
}
