package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// patience is how long an answer may take.
const patience = 5 * time.Second

// headers is a flag "name:value" that may be given several times.
type headers map[string]string

func (h headers) String() string { return fmt.Sprint(map[string]string(h)) }

func (h headers) Set(text string) error {
	name, value, ok := strings.Cut(text, ":")
	if !ok {
		return fmt.Errorf("%q is not name:value", text)
	}
	h[name] = value
	return nil
}

// call sends the requests that `client URL flags` asks for and prints the answers.
func call(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("client URL [-method GET] [-count 1] [-H name:value]")
	}
	set := flag.NewFlagSet("client", flag.ContinueOnError)
	method := set.String("method", "GET", "of the requests")
	count := set.Int("count", 1, "how many there are")
	more := headers{}
	set.Var(more, "H", "a header")
	if err := set.Parse(arguments[1:]); err != nil {
		return err
	}
	at, err := url.Parse(arguments[0])
	if err != nil {
		return err
	}
	for range *count {
		var answer string
		if at.Scheme == "grpc" {
			answer, err = callGRPC(at.Host)
		} else {
			answer, err = callHTTP(*method, at.String(), more)
		}
		if err != nil {
			return err
		}
		fmt.Println(answer) // an empty line is between answers
	}
	return nil
}

// callHTTP follows no redirects.
func callHTTP(method, at string, more headers) (string, error) {
	r, err := http.NewRequest(method, at, nil)
	if err != nil {
		return "", err
	}
	for k, v := range more {
		if strings.EqualFold(k, "host") {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	client := http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "StatusCode=%d\n", answer.StatusCode)
	for k, values := range answer.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "ResponseHeader=%s:%s\n", k, v)
		}
	}
	b.Write(body)
	return b.String(), nil
}

// callGRPC makes the one call there is. What it ends with is told in HTTP's codes.
func callGRPC(host string) (string, error) {
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer wrapperspb.StringValue
	if err := conn.Invoke(ctx, method, wrapperspb.String(""), &answer); err != nil {
		return "", fmt.Errorf("%v", status.Convert(err))
	}
	return "StatusCode=200\n" + answer.Value, nil
}
