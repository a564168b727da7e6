package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/fairway-mesh/fairway/internal/turns"
)

// DefaultAudience is the audience of the tokens that proxies show.
const DefaultAudience = "fairway"

// Review is what the API server says about a token that it accepts.
type Review struct {
	Namespace, ServiceAccount string
	Pod, PodUID               string   // empty when the token is not bound to a pod
	Audiences                 []string // those asked for that the token is meant for
}

// ReviewFunc asks the API server about a token that is meant for one of the
// audiences (authentication.k8s.io TokenReview). A *Refusal means that the token
// is not accepted, any other error that nobody could say. Errors hold nothing
// of the token.
type ReviewFunc func(ctx context.Context, token string, audiences []string) (Review, error)

// AuthenticatorOptions configure an Authenticator. TrustDomain and Log are
// required, and exactly one of Review and Authority.
type AuthenticatorOptions struct {
	// Review makes tokens count.
	Review ReviewFunc
	// Authority makes client certificates count that it has issued: file mode.
	Authority *Authority
	// TrustDomain is the mesh's trust domain now.
	TrustDomain func() string
	// Audiences are those that tokens may be meant for; DefaultAudience.
	Audiences []string
	// Gone says whether a pod is not known to be there, as far as the caller
	// knows: its token is reviewed again instead of being remembered. Nil: never.
	Gone func(namespace, pod, uid string) bool
	Log  *slog.Logger
}

// Bounds of the Authenticator.
const (
	maxVerdicts   = 20_000           // remembered tokens
	acceptedFor   = time.Minute      // unless its pod is Gone
	refusedFor    = 10 * time.Second // a proxy with a bad token tries again this often
	reviewTimeout = 10 * time.Second
	// Reviews at once, of tokens that name a pod which is there, and of others:
	// a stranger may make up the latter, but hardly the UID of a pod.
	maxReviews        = 40
	maxForeignReviews = 10
	// maxWaiting bounds the tokens that wait for their review, for each pod and
	// for each address that others come from.
	maxWaiting = 4096
)

// Authenticator tells who is at the other end of an xDS stream. Safe for use by
// several goroutines.
type Authenticator struct {
	options  AuthenticatorOptions
	accepted *lru.Cache[[sha256.Size]byte, verdict]
	refused  *lru.Cache[[sha256.Size]byte, verdict] // apart: strangers can fill it
	flights  singleflight.Group
	reviews  *turns.Queue[string] // by the UID of the pod
	foreign  *turns.Queue[string] // by address
	said     atomic.Int64         // when it was last in the log that reviews fail, in seconds since 1970
}

// verdict is what was found about one token.
type verdict struct {
	review  Review
	refusal *Refusal // nil: accepted
	expires time.Time
	until   time.Time // the verdict counts
}

// NewAuthenticator checks the options; it connects to nothing.
func NewAuthenticator(o AuthenticatorOptions) (*Authenticator, error) {
	if (o.Review == nil) == (o.Authority == nil) {
		return nil, errors.New("an authenticator needs either token reviews or an authority whose certificates count")
	}
	if len(o.Audiences) == 0 {
		o.Audiences = []string{DefaultAudience}
	}
	accepted, err := lru.New[[sha256.Size]byte, verdict](maxVerdicts)
	if err != nil {
		return nil, err
	}
	refused, err := lru.New[[sha256.Size]byte, verdict](maxVerdicts)
	if err != nil {
		return nil, err
	}
	return &Authenticator{options: o, accepted: accepted, refused: refused,
		reviews: turns.New[string](maxReviews, maxWaiting), foreign: turns.New[string](maxForeignReviews, maxWaiting)}, nil
}

// Authenticate reads the proof from the context of an incoming gRPC stream.
// Every error is a *Refusal, and so a gRPC status.
func (a *Authenticator) Authenticate(ctx context.Context) (Peer, error) {
	if a.options.Review == nil {
		return a.byCertificate(ctx)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	t, err := parseAuthorization(md.Get("authorization"))
	if err != nil {
		return Peer{}, err
	}
	return a.byToken(ctx, t)
}

func (a *Authenticator) byToken(ctx context.Context, t token) (Peer, error) {
	now := time.Now()
	key := sha256.Sum256([]byte(t))
	v, ok := a.accepted.Get(key)
	if !ok {
		v, ok = a.refused.Get(key)
	}
	if !ok || !now.Before(v.until) || a.gone(v) {
		c, err := parseClaims(t)
		if err == nil {
			err = c.useless(a.options.Audiences, now)
		}
		if err != nil {
			return Peer{}, err
		}
		if v, err = a.review(ctx, key, t, c); err != nil {
			return Peer{}, err
		}
	}
	if v.refusal != nil {
		return Peer{}, v.refusal
	}
	return Peer{
		ID:  ID{a.options.TrustDomain(), v.review.Namespace, v.review.ServiceAccount},
		Pod: v.review.Pod, PodUID: v.review.PodUID, Expires: v.expires,
	}, nil
}

// gone says whether what was found about a token may be out of date before its
// time. Only the API server knows: the pod may be newer than what Gone has seen.
func (a *Authenticator) gone(v verdict) bool {
	return v.refusal == nil && a.options.Gone != nil && a.options.Gone(v.review.Namespace, v.review.Pod, v.review.PodUID)
}

// review asks once for all streams that show the same token at the same time.
func (a *Authenticator) review(ctx context.Context, key [sha256.Size]byte, t token, c claims) (verdict, error) {
	answer := a.flights.DoChan(string(key[:]), func() (any, error) {
		// On its own time: the stream that came first may end, others wait too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		queue, who := a.queueOf(ctx, c)
		if err := queue.Enter(ctx, who, nil); err != nil {
			return verdict{}, fmt.Errorf("too many reviews at once: %w", err)
		}
		defer queue.Leave()
		review, err := a.options.Review(ctx, string(t), a.options.Audiences)
		if err != nil && !errors.As(err, new(*Refusal)) {
			return verdict{}, err
		}
		v := a.judge(review, err, c)
		if a.accepted.Remove(key); v.refusal == nil {
			a.accepted.Add(key, v)
		} else {
			a.refused.Add(key, v)
		}
		return v, nil
	})
	select {
	case <-ctx.Done():
		return verdict{}, &Refusal{ReasonUnavailable, "the stream ended before its token was reviewed"}
	case r := <-answer:
		if r.Err != nil {
			a.failed(r.Err)
			return verdict{}, &Refusal{ReasonUnavailable, "the API server could not review the token: try again"}
		}
		return r.Val.(verdict), nil
	}
}

// queueOf is where a token waits for its review, and with whom it takes turns.
func (a *Authenticator) queueOf(ctx context.Context, c claims) (queue *turns.Queue[string], who string) {
	k := c.Kubernetes
	if a.options.Gone != nil && k.Pod.UID != "" && !a.options.Gone(k.Namespace, k.Pod.Name, k.Pod.UID) {
		return a.reviews, k.Pod.UID
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		who = p.Addr.String()
		if host, _, err := net.SplitHostPort(who); err == nil {
			who = host
		}
	}
	return a.foreign, who
}

// failed says now and then that reviews fail.
func (a *Authenticator) failed(err error) {
	now := time.Now().Unix()
	last := a.said.Load()
	if now-last >= 10 && a.said.CompareAndSwap(last, now) {
		a.options.Log.Warn("a token could not be reviewed; this is said at most every ten seconds", "err", err)
	}
}

// judge makes a verdict of a review that was answered.
func (a *Authenticator) judge(r Review, err error, c claims) verdict {
	now := time.Now()
	v := verdict{review: r, expires: c.expires(), until: now.Add(acceptedFor)}
	if v.until.After(v.expires) {
		v.until = v.expires
	}
	switch {
	case errors.As(err, &v.refusal):
	case !slices.ContainsFunc(r.Audiences, func(s string) bool { return slices.Contains(a.options.Audiences, s) }):
		// An API server that ignores the question's audiences would say yes to
		// any token.
		v.refusal = &Refusal{ReasonAudience, "the API server did not confirm the token's audience"}
	case r.Pod == "" || r.PodUID == "":
		v.refusal = &Refusal{ReasonNotBound, "the token is not bound to a pod: mount a projected one"}
	}
	if v.refusal != nil {
		v.until = now.Add(refusedFor)
	}
	return v
}

// byCertificate accepts a client certificate of the own authority.
func (a *Authenticator) byCertificate(ctx context.Context) (Peer, error) {
	p, _ := peer.FromContext(ctx)
	var shown []*x509.Certificate
	if p != nil {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			shown = info.State.PeerCertificates
		}
	}
	if len(shown) == 0 {
		return Peer{}, &Refusal{ReasonNoCredential, "no client certificate: without an API server this port wants one of the mesh's authority"}
	}
	leaf := shown[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.options.Authority.trust.Load().pool, Intermediates: pool(shown[1:]),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Peer{}, &Refusal{ReasonUntrusted, "the client certificate is not valid in this mesh: " + err.Error()}
	}
	if len(leaf.URIs) != 1 {
		return Peer{}, &Refusal{ReasonUntrusted, "the client certificate names no single SPIFFE id"}
	}
	id, err := ParseID(leaf.URIs[0].String())
	if err != nil {
		return Peer{}, &Refusal{ReasonUntrusted, "the client certificate: " + err.Error()}
	}
	if want := a.options.TrustDomain(); id.TrustDomain != want {
		return Peer{}, &Refusal{ReasonUntrusted, "the client certificate is of trust domain " + id.TrustDomain + ", this mesh is " + want}
	}
	return Peer{ID: id, Expires: leaf.NotAfter}, nil
}
