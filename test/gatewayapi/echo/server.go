package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// ports is a flag that may be given several times.
type ports []int

func (p *ports) String() string { return fmt.Sprint(*p) }

func (p *ports) Set(text string) error {
	n, err := strconv.Atoi(text)
	*p = append(*p, n)
	return err
}

// serve serves all ports until one fails.
func serve(arguments []string) error {
	var web, secure, calls, plain ports
	set := flag.NewFlagSet("server", flag.ContinueOnError)
	set.Var(&web, "port", "port of HTTP/1.1 and HTTP/2")
	set.Var(&secure, "tls", "port of those that has TLS")
	set.Var(&calls, "grpc", "port of gRPC")
	set.Var(&plain, "tcp", "port that gives back what it gets")
	certificate := set.String("crt", "", "file of the certificate")
	key := set.String("key", "", "file of its key")
	if err := set.Parse(arguments); err != nil {
		return err
	}
	if len(arguments) == 0 {
		web = ports{8080}
	}
	failed := make(chan error, 1)
	each := func(list ports, serve func(net.Listener) error) {
		for _, port := range list {
			l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
			if err == nil {
				go func() { failed <- serve(l) }()
				continue
			}
			failed <- err
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(answer), Protocols: protocols, ReadHeaderTimeout: time.Minute}
	each(slices.DeleteFunc(web, func(p int) bool { return slices.Contains(secure, p) }), server.Serve)
	each(secure, func(l net.Listener) error { return server.ServeTLS(l, *certificate, *key) })
	each(calls, newGRPC().Serve)
	each(plain, echo)
	return <-failed
}

// answer tells who answers what request.
func answer(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, description(r.Host, r.Header))
	fmt.Fprintf(w, "Method=%s\nURL=%s\nProto=%s\n", r.Method, r.URL.RequestURI(), r.Proto)
}

func description(host string, headers map[string][]string) string {
	var b strings.Builder
	name, _ := os.Hostname()
	fmt.Fprintf(&b, "Hostname=%s\nHost=%s\nRequestHeader=Host:%s\n", name, host, host)
	for k, values := range headers {
		for _, v := range values {
			fmt.Fprintf(&b, "RequestHeader=%s:%s\n", k, v)
		}
	}
	return b.String()
}

// echo gives back what connections bring.
func echo(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// method is that of the one call.
const method = "/proto.EchoTestService/Echo"

// newGRPC answers the call with what an HTTP request would get.
func newGRPC() *grpc.Server {
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "proto.EchoTestService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(&wrapperspb.StringValue{}); err != nil {
				return nil, err
			}
			headers, _ := metadata.FromIncomingContext(ctx)
			return wrapperspb.String(description(strings.Join(headers.Get(":authority"), ","), headers)), nil
		}}},
	}, nil)
	return s
}
