package webhook

import (
	admissionv1 "k8s.io/api/admission/v1"
)

// validate answers for an object of the mesh that is about to be stored.
func (c Config) validate(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return allowed()
}
