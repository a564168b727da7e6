package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// review makes an HTTP handler of a function that answers one request. What
// cannot be read is refused by status: the API server then applies the
// failurePolicy of its configuration.
func review(log *slog.Logger, answer func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, status, err := readReview(w, r)
		if err != nil {
			log.Warn("a webhook request was refused", "path", r.URL.Path, "from", r.RemoteAddr, "err", err)
			http.Error(w, err.Error(), status)
			return
		}
		response := answer(request)
		response.UID = request.UID
		body, err := json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
		})
		if err != nil {
			http.Error(w, "encoding the answer: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(body); err != nil {
			log.Debug("an answer to a webhook request could not be sent", "path", r.URL.Path, "err", err)
		}
	})
}

func readReview(w http.ResponseWriter, r *http.Request) (request *admissionv1.AdmissionRequest, status int, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the Content-Type is %q: send an AdmissionReview as application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the request has more than %d bytes: make the object smaller", MaxRequest)
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the request: %w", err)
	}
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("the request is no AdmissionReview: %w", err)
	}
	if v := admissionv1.SchemeGroupVersion.String(); in.APIVersion != v || in.Kind != "AdmissionReview" {
		return nil, http.StatusBadRequest, fmt.Errorf("the request is %q of %q: send an AdmissionReview of %s", in.Kind, in.APIVersion, v)
	}
	if in.Request == nil || in.Request.UID == "" {
		return nil, http.StatusBadRequest, errors.New("the AdmissionReview holds no request with a uid")
	}
	return in.Request, http.StatusOK, nil
}

func allowed(warnings ...string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true, Warnings: bounded(warnings)}
}

// refused is what kubectl prints as the reason.
func refused(code int32, reason metav1.StatusReason, message string, warnings ...string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		Result:   &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message},
		Warnings: bounded(warnings),
	}
}

// maxWarnings bounds what is printed about one object.
const maxWarnings = 20

func bounded(warnings []string) []string {
	if len(warnings) <= maxWarnings {
		return warnings
	}
	return append(warnings[:maxWarnings:maxWarnings], fmt.Sprintf("… and %d more", len(warnings)-maxWarnings))
}
