//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// seconds is how long a change may take to be seen.
const shortly = 2 * time.Second

// versions is tutorial A.
func (r *run) versions(ctx context.Context) error {
	if err := r.inject(ctx, "Inject the proxy by hand and apply", "flaskapp/flaskapp.yaml", "flaskapp/sleep.yaml"); err != nil {
		return err
	}
	if err := r.wait(ctx, "default"); err != nil {
		return err
	}
	r.seePods("default", "every pod has a proxy beside its own container: READY 2/2", 2)
	r.see("every pod has an init container for traffic capture, and it has run", r.captured)
	r.see("injecting again changes nothing", func() (string, bool, error) { return r.idempotent(ctx) })
	client, err := r.from(ctx, "default", "app=sleep")
	if err != nil {
		return err
	}
	const url = "http://flaskapp/env/version"
	if err := r.do("Ask flaskapp 500 times from inside sleep", "curl http://flaskapp/env/version", func() error { return nil }); err != nil {
		return err
	}
	r.see("v1 and v2 answer, about half each", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			c, err := ask(ctx, client, 500, url)
			return c.String(), c.even("v1", "v2", 0.4), err
		})
	})
	if err := r.inject(ctx, "Apply a Deployment without any Service", "flaskapp/without-service.yaml"); err != nil {
		return err
	}
	if err := r.wait(ctx, "default"); err != nil {
		return err
	}
	r.see("its name leads nowhere", func() (string, bool, error) {
		answer, err := get(ctx, client, "http://nameless/env/version")
		var unknown *net.DNSError
		if errors.As(err, &unknown) && unknown.IsNotFound {
			return "no such host", true, nil
		}
		return answer, false, err
	})
	if err := r.apply(ctx, "Send everything to version v2", "flaskapp/destination-rule.yaml", "flaskapp/virtual-service-v2.yaml"); err != nil {
		return err
	}
	r.see("all answers are v2", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			c, err := ask(ctx, client, 100, url)
			return c.String(), c.only("v2"), err
		})
	})
	if err := r.apply(ctx, "Send those with header x-version: v1 to v1, all others to v2", "flaskapp/virtual-service-header.yaml"); err != nil {
		return err
	}
	r.see("with the header v1 answers, without it v2", func() (string, bool, error) {
		return until(ctx, shortly, func() (string, bool, error) {
			with, err := ask(ctx, client, 50, url, "x-version", "v1")
			if err != nil {
				return "", false, err
			}
			without, err := ask(ctx, client, 50, url)
			return fmt.Sprintf("with: %s; without: %s", with, without), with.only("v1") && without.only("v2"), err
		})
	})
	r.try("Change the split: edit the VirtualService below, or delete it.")
	return nil
}

// captured looks at the init containers of all pods.
func (r *run) captured() (string, bool, error) {
	pods, err := r.mesh.Pods("default", "")
	if err != nil {
		return "", false, err
	}
	for _, p := range pods {
		found := false
		for _, c := range p.Pod.Status.InitContainerStatuses {
			found = found || c.Name == "fairway-init" && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
		}
		if !found {
			return "not in pod " + p.Name, false, nil
		}
	}
	return fmt.Sprintf("fairway-init has completed in %d pods", len(pods)), len(pods) > 0, nil
}

func (r *run) idempotent(ctx context.Context) (string, bool, error) {
	once, err := r.injected(ctx, file("flaskapp/flaskapp.yaml"))
	if err != nil {
		return "", false, err
	}
	twice, err := r.injected(ctx, once)
	return "", string(once) == string(twice), err
}
