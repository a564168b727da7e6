// Command peer is both ends of a conversation in each protocol that mutual TLS
// has to carry: `peer serve` answers, the others ask once and print the answer.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
)

// The ports of `peer serve`.
const (
	httpPort = ":8080" // HTTP/1 and HTTP/2
	tcpPort  = ":9000" // speaks first
	grpcPort = ":9001" // the standard health service
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 1 && arguments[0] == "serve" {
		return serve()
	}
	asks := map[string]func(string) (string, error){"http1": askHTTP(false), "http2": askHTTP(true), "tcp": askTCP, "grpc": askGRPC}
	if len(arguments) != 2 || asks[arguments[0]] == nil {
		return errors.New("usage: peer serve, or peer http1|http2|tcp|grpc ADDRESS")
	}
	answer, err := asks[arguments[0]](arguments[1])
	if err == nil {
		fmt.Println(answer)
	}
	return err
}

func serve() error {
	failed := make(chan error, 3)
	web := &http.Server{Addr: httpPort, Protocols: protocols(true, true), ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(showCaller)}
	go func() { failed <- web.ListenAndServe() }()
	greeter, err := net.Listen("tcp", tcpPort)
	if err != nil {
		return err
	}
	go func() { failed <- greet(greeter) }()
	l, err := net.Listen("tcp", grpcPort)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	healthgrpc.RegisterHealthServer(s, health.NewServer())
	go func() { failed <- s.Serve(l) }()
	return <-failed
}

// showCaller answers with what the proxy says about who asks.
func showCaller(w http.ResponseWriter, r *http.Request) {
	if caller := r.Header.Get("X-Forwarded-Client-Cert"); caller != "" {
		fmt.Fprintln(w, caller)
		return
	}
	fmt.Fprintln(w, "nobody")
}

func greet(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			fmt.Fprintln(conn, "welcome")
			_, _ = io.Copy(conn, conn) // the client went away
		}()
	}
}

func protocols(one, two bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(one)
	p.SetUnencryptedHTTP2(two)
	return p
}

const timeout = 10 * time.Second

func askHTTP(two bool) func(string) (string, error) {
	return func(address string) (string, error) {
		client := &http.Client{Timeout: timeout, Transport: &http.Transport{Protocols: protocols(!two, two)}}
		resp, err := client.Get("http://" + address)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(b), err
	}
}

// askTCP waits to be greeted, says something and hears it again.
func askTCP(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	greeting, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("waiting for the greeting: %w", err)
	}
	fmt.Fprintln(conn, "thanks")
	answer, err := r.ReadString('\n')
	return greeting + answer, err
}

func askGRPC(address string) (string, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := healthgrpc.NewHealthClient(conn).Check(ctx, &healthgrpc.HealthCheckRequest{})
	return answer.GetStatus().String(), err
}
