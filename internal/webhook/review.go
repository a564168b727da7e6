package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-mesh/fairway/informers"
)

// answer is what a webhook says about one request, until ctx ends.
type answer func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

// review makes an HTTP handler of a function that answers one request. What
// cannot be read, and what cannot be answered in time, is refused by status: the API
// server then applies the failurePolicy of its configuration.
func (a *admission) review(log *slog.Logger, answer answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, status, err := a.answered(w, r, answer)
		if err != nil {
			log.Debug("a webhook request was refused", "path", r.URL.Path, "from", r.RemoteAddr, "err", err)
			w.Header().Set("Connection", "close") // and do not read the rest of a body
			http.Error(w, err.Error(), status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(body); err != nil {
			log.Debug("an answer to a webhook request could not be sent", "path", r.URL.Path, "err", err)
		}
	})
}

// answered reads a request and answers it, within its bounds.
func (a *admission) answered(w http.ResponseWriter, r *http.Request, answer answer) (out []byte, status int, err error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), timeout(r), errLate)
	defer cancel()
	address := addressOf(r.RemoteAddr)
	size := r.ContentLength
	if size < 0 || size > MaxRequest {
		size = MaxRequest
	}
	release, err := a.hold(address, size)
	if err != nil {
		return nil, http.StatusServiceUnavailable, err
	}
	defer release()
	body, status, err := readBody(w, r, size)
	if err != nil {
		return nil, status, err
	}
	done, err := a.turn(ctx, address, len(body))
	if err != nil {
		return nil, http.StatusServiceUnavailable, err
	}
	defer done()
	request, err := readReview(body)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	response := answer(ctx, request)
	if ctx.Err() != nil {
		return nil, http.StatusServiceUnavailable, context.Cause(ctx)
	}
	response.UID = request.UID
	out, err = json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
	})
	if err != nil {
		return nil, http.StatusInternalServerError, fmt.Errorf("encoding the answer: %w", err)
	}
	return out, http.StatusOK, nil
}

// maxTimeout is how long a request is worked on at most; the API server says by a
// parameter of the URL how long it waits itself, in its default that long.
const maxTimeout = 10 * time.Second

var errLate = errors.New("there was no time to answer: try again")

func timeout(r *http.Request) time.Duration {
	if d, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && d > 0 && d < maxTimeout {
		return d
	}
	return maxTimeout
}

// slowest is how many bytes of a body must come in a second, after the first.
const slowest = 1 << 20

func readBody(w http.ResponseWriter, r *http.Request, size int64) (body []byte, status int, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the Content-Type is %.100q: send an AdmissionReview as application/json", r.Header.Get("Content-Type"))
	}
	if r.ContentLength > MaxRequest {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the request has more than %d bytes: make the object smaller", MaxRequest)
	}
	// Without a connection of its own, as in HTTP/2 of old, the server's ReadTimeout holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second + time.Duration(size)*time.Second/slowest))
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the request has more than %d bytes: make the object smaller", MaxRequest)
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the request: %w", err)
	}
	return body, http.StatusOK, nil
}

// readReview decodes the review. It holds the object, and the old one beside it.
func readReview(body []byte) (*admissionv1.AdmissionRequest, error) {
	if err := informers.CheckText(body, 2*informers.MaxValues); err != nil {
		return nil, fmt.Errorf("the request cannot be answered: %w", err)
	}
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("the request is no AdmissionReview: %w", err)
	}
	if v := admissionv1.SchemeGroupVersion.String(); in.APIVersion != v || in.Kind != "AdmissionReview" {
		return nil, fmt.Errorf("the request is %.100q of %.100q: send an AdmissionReview of %s", in.Kind, in.APIVersion, v)
	}
	if in.Request == nil || in.Request.UID == "" {
		return nil, errors.New("the AdmissionReview holds no request with a uid")
	}
	return in.Request, nil
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
