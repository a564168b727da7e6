//go:build linux

package kubelet

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// hook runs a lifecycle hook.
func (p *Pod) hook(ctx context.Context, u *unit, h *corev1.LifecycleHandler) error {
	if h.Sleep != nil {
		pause(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
		return nil
	}
	return p.handle(ctx, u, corev1.ProbeHandler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket})
}

// handle does what a probe or hook says: from the node, as the kubelet would, or
// inside the container.
func (p *Pod) handle(ctx context.Context, u *unit, h corev1.ProbeHandler) error {
	switch {
	case h.HTTPGet != nil:
		return p.httpGet(ctx, u, h.HTTPGet)
	case h.TCPSocket != nil:
		address, err := p.address(u, h.TCPSocket.Host, h.TCPSocket.Port)
		if err != nil {
			return err
		}
		conn, err := p.machine.Router.Namespace.Dial(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	case h.GRPC != nil:
		return p.grpcCheck(ctx, h.GRPC)
	case h.Exec != nil:
		code, err := p.Exec(ctx, u.spec.Name, h.Exec.Command, nil, io.Discard, io.Discard)
		if err == nil && code != 0 {
			err = fmt.Errorf("%v ended with code %d", h.Exec.Command, code)
		}
		return err
	}
	return nil
}

// address is where a probe goes: the port by number or by its name.
func (p *Pod) address(u *unit, host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = p.spec.Status.PodIP
	}
	number := port.IntValue()
	if port.Type == intstr.String {
		for _, c := range u.spec.Ports {
			if c.Name == port.StrVal {
				number = int(c.ContainerPort)
			}
		}
	}
	if number <= 0 {
		return "", fmt.Errorf("container %s has no port %s", u.spec.Name, port.String())
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

func (p *Pod) httpGet(ctx context.Context, u *unit, get *corev1.HTTPGetAction) error {
	address, err := p.address(u, get.Host, get.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if get.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	path := get.Path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/1.36")
	for _, h := range get.HTTPHeaders {
		req.Header.Set(h.Name, h.Value)
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
		}
	}
	transport := &http.Transport{
		DialContext: p.machine.Router.Namespace.Dial, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // as the kubelet does
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return nil
}

func (p *Pod) grpcCheck(ctx context.Context, check *corev1.GRPCAction) error {
	address := net.JoinHostPort(p.spec.Status.PodIP, strconv.Itoa(int(check.Port)))
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return p.machine.Router.Namespace.Dial(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	request := &grpc_health_v1.HealthCheckRequest{}
	if check.Service != nil {
		request.Service = *check.Service
	}
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, request)
	if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("%s says %s", address, answer.Status)
	}
	return err
}
