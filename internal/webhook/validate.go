package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
	"github.com/fairway-mesh/fairway/internal/check"
	"github.com/fairway-mesh/fairway/mesh/object"
)

// validate answers for an object of the mesh that is about to be stored.
func (c Config) validate(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if r.SubResource != "" || r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
		return allowed()
	}
	if err := informers.CheckText(r.Object.Raw, informers.MaxValues); err != nil {
		return refused(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, fmt.Sprintf("the object is too large: %v", err))
	}
	text, err := named(r)
	if err != nil {
		return refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
	}
	objects, findings, err := informers.ParseJSON(text)
	if err != nil {
		return refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf("the object cannot be read: %v", err))
	}
	result := check.Result{Warnings: findings}
	if len(objects) == 1 {
		result = check.Admission(ctx, objects[0], c.World())
		result.Warnings = append(result.Warnings, findings...)
	}
	warnings := make([]string, 0, len(result.Warnings))
	for _, f := range result.Warnings {
		warnings = append(warnings, f.String())
	}
	if len(result.Invalid) == 0 || gone(text) {
		return allowed(warnings...)
	}
	return refused(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, sentence(result.Invalid), warnings...)
}

// named is the object as JSON, with the namespace of the request and, where its
// name is to be generated, one to speak of.
func named(r *admissionv1.AdmissionRequest) ([]byte, error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(r.Object.Raw, &o); err != nil {
		return nil, fmt.Errorf("the request holds no object: %w", err)
	}
	var metadata map[string]any
	if err := json.Unmarshal(o["metadata"], &metadata); err != nil {
		return nil, fmt.Errorf("the object has no metadata: %w", err)
	}
	metadata["namespace"] = r.Namespace
	if name, _ := metadata["name"].(string); name == "" {
		prefix, _ := metadata["generateName"].(string)
		metadata["name"] = prefix + "…"
	}
	encoded, err := json.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	o["metadata"] = encoded
	return json.Marshal(o)
}

// gone tells whether the object is being deleted: what remains is that its
// finalizers are taken off, which an object that is invalid must not hinder.
func gone(text []byte) bool {
	var o metav1.PartialObjectMetadata
	return json.Unmarshal(text, &o) == nil && o.DeletionTimestamp != nil
}

// maxReasons bounds what is said about one object.
const maxReasons = 10

// sentence is what kubectl prints: object, field, what is wrong and how to mend it.
func sentence(findings []object.Finding) string {
	lines := make([]string, 0, len(findings))
	for i, f := range findings {
		if i == maxReasons {
			lines = append(lines, fmt.Sprintf("… and %d more", len(findings)-i))
			break
		}
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}
