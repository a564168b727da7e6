package replicas

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// debugPort is that of a pod that names no port "http-monitoring".
	debugPort = 15014
	// maxReplicas is how many pods are asked.
	maxReplicas = 100
	// patience is how long one may say nothing: a large answer takes longer, through an API
	// server.
	patience = 10 * time.Second
	// maxAnswer bounds what one may answer, in bytes.
	maxAnswer = 1 << 30
)

// ErrNotFound is what Get returns for a page that a replica does not have, such as that of a
// proxy that is connected to another one.
var ErrNotFound = errors.New("not found")

// ErrRefused is what Get returns when the replica does not let the user read the page, and Find
// when the API server does not let the user list pods.
var ErrRefused = errors.New("not permitted")

// Finder finds the replicas. Set it up once and use it for all questions: connections are
// kept. It is not safe for concurrent use.
type Finder struct {
	REST   *rest.Config
	Client kubernetes.Interface
	// Namespace and Selector are where the control plane's pods are, and their labels.
	Namespace, Selector string
	// Direct reaches the pods by their addresses, for who is inside of the cluster.
	Direct bool
	// Token is shown to the pods; empty: none.
	Token string

	clients map[string]*http.Client // by the UIDs of pods
}

// Replica is a pod of the control plane.
type Replica struct {
	Name  string
	Ready bool
	// Down says that no process of it runs, so that it has no proxies.
	Down   bool
	client *http.Client
	url    string
	token  string
	// patience is how long it may say nothing.
	patience time.Duration
}

// Find lists the replicas that run, in the order of their names.
func (f *Finder) Find(ctx context.Context) ([]Replica, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := f.Client.CoreV1().Pods(f.Namespace).List(ctx, metav1.ListOptions{LabelSelector: f.Selector, Limit: maxReplicas})
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return nil, fmt.Errorf("looking for the replicas of the control plane: %w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the replicas of the control plane: %w", err)
	}
	if list.Continue != "" {
		return nil, fmt.Errorf("more than %d pods in namespace %s have the labels %s: name those of the control plane only", maxReplicas, f.Namespace, f.Selector)
	}
	before := f.clients
	f.clients = map[string]*http.Client{}
	var out []Replica
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" {
			continue
		}
		key := string(p.UID)
		f.clients[key] = before[key]
		if f.clients[key] == nil {
			f.clients[key] = f.clientOf(p)
		}
		delete(before, key)
		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		out = append(out, Replica{p.Name, ready, down(p), f.clients[key], "http://" + net.JoinHostPort(p.Status.PodIP, strconv.Itoa(int(portOf(p)))), f.Token, patience})
	}
	for _, c := range before { // of pods that are gone
		c.CloseIdleConnections()
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no pod of the control plane runs in namespace %s with the labels %s", f.Namespace, f.Selector)
	}
	slices.SortFunc(out, func(a, b Replica) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// down tells whether Kubernetes says of every container that it does not run.
func down(p *corev1.Pod) bool {
	list := p.Status.ContainerStatuses
	return len(list) > 0 && !slices.ContainsFunc(list, func(c corev1.ContainerStatus) bool { return c.State.Waiting == nil && c.State.Terminated == nil })
}

// portOf is the debug port of a pod.
func portOf(p *corev1.Pod) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "http-monitoring" {
				return port.ContainerPort
			}
		}
	}
	return debugPort
}

// clientOf reaches one pod.
func (f *Finder) clientOf(p *corev1.Pod) *http.Client {
	t := &http.Transport{Proxy: nil, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	if !f.Direct {
		name, port := p.Name, portOf(p)
		t.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return forward(f.REST, f.Client, f.Namespace, name, port)
		}
	}
	return &http.Client{Transport: t}
}

// heard puts off the end of the patience with each word.
type heard struct {
	io.Reader
	silence  *time.Timer
	patience time.Duration
}

// Read implements io.Reader.
func (h heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if n > 0 {
		h.silence.Reset(h.patience)
	}
	return n, err
}

// Get reads a page of the replica's debug port and decodes its JSON.
func (r *Replica) Get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(r.patience, func() { cancel(fmt.Errorf("it said nothing for %s", r.patience)) })
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, http.NoBody)
	if err != nil {
		return err
	}
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking replica %s: %w", r.Name, cmp.Or(context.Cause(ctx), err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(heard{response.Body, silence, r.patience}, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking replica %s: %w", r.Name, cmp.Or(context.Cause(ctx), err))
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("replica %s: %w: %.200s", r.Name, ErrNotFound, strings.TrimSpace(string(body)))
	}
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return fmt.Errorf("replica %s: %w: %.200s", r.Name, ErrRefused, strings.TrimSpace(string(body)))
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("replica %s answers %s: %.200s", r.Name, response.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading what replica %s answers: %w", r.Name, err)
	}
	return nil
}
