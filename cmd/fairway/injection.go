package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/fairway-mesh/fairway/internal/inject"
	"github.com/fairway-mesh/fairway/internal/version"
)

// injection is the parameters of injection: those of the file, over those that
// follow from where the control plane runs, which takes an answer of the API
// server. Until that comes, the API server waits in its handshake: a Pod that
// gets another sidecar than its neighbours is worse than one that waits.
type injection struct {
	base  inject.Params
	text  []byte        // of the file; nil: there is none
	asked chan struct{} // closed when params is set

	params inject.Params
}

// newInjection reads the file. The error says what is wrong with it.
func newInjection(f serveFlags) (*injection, error) {
	i := &injection{base: inject.DefaultParams(), asked: make(chan struct{})}
	i.base.Version = version.String()
	i.base.RootNamespace = f.namespace
	i.base.XDSAddress = "fairway." + f.namespace + ".svc:15012"
	if f.injection == "" {
		return i, nil
	}
	var err error
	if i.text, err = os.ReadFile(f.injection); err != nil {
		return nil, fmt.Errorf("reading --injection: %w", err)
	}
	_, err = inject.ReadParams(i.text, i.base)
	return i, err
}

// await waits until the parameters are known, for a while.
func (i *injection) await(ctx context.Context) error {
	late := time.NewTimer(certificateWait)
	defer late.Stop()
	select {
	case <-i.asked:
		return nil
	case <-late.C:
		return errors.New("the API server has not told its version yet")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the parameters; await has returned nil before.
func (i *injection) now() inject.Params { return i.params }

// ask asks the API server for its version, until it answers or ctx ends.
func (i *injection) ask(ctx context.Context, client kubernetes.Interface, log *slog.Logger) {
	for told := false; ; {
		err := i.askOnce(ctx, client)
		if err == nil {
			close(i.asked)
			return
		}
		if !told && ctx.Err() == nil {
			told = true
			log.Warn("the API server did not answer with its version; asking again, and its webhooks wait", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(openAgain):
		}
	}
}

func (i *injection) askOnce(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	text, err := client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("asking for its version: %w", err)
	}
	var v struct{ Major, Minor string }
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("reading its version: %w", err)
	}
	p := i.base
	p.NativeSidecar = atLeast(v.Major, v.Minor, nativeSidecars)
	p.DrainApplication = atLeast(v.Major, v.Minor, sleepHooks)
	if i.text != nil {
		if p, err = inject.ReadParams(i.text, p); err != nil {
			return err
		}
	}
	i.params = p
	return nil
}

// The minor versions of Kubernetes 1 in which features are on by default.
const (
	nativeSidecars = 29 // restartPolicy Always of init containers
	sleepHooks     = 30 // lifecycle.preStop.sleep
)

func atLeast(major, minor string, want int) bool {
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(strings.TrimRight(minor, "+"))
	return err == nil && err2 == nil && (a > 1 || a == 1 && b >= want)
}
