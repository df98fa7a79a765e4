package main

// A minimal Kubernetes client: HTTP/2 on one connection, as client-go, and only the requested fields are decoded.

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

const (
	account   = "/var/run/secrets/kubernetes.io/serviceaccount"
	applyType = "application/apply-patch+yaml"
	mergeType = "application/merge-patch+json"
	jsonType  = "application/json"
	attempts  = 20
)

type kube struct {
	base, token string
	http        *http.Client
}

// inCluster connects as the pod's service account.
func inCluster() (*kube, error) {
	token, err := os.ReadFile(account + "/token")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(account + "/ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 100}
	return &kube{"https://" + host, string(token), &http.Client{Transport: transport}}, nil
}

func (k *kube) open(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+k.token)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return k.http.Do(request)
}

// do sends a request and decodes the answer into `into`, if that isn't nil. It obeys Retry-After, and repeats the deletion
// of a collection that takes longer than the server's minute.
func (k *kube) do(method, path, contentType string, body []byte, into any) error {
	for attempt := 0; ; attempt++ {
		answer, err := k.open(context.Background(), method, path, contentType, body)
		if err != nil && method == http.MethodDelete && attempt < attempts {
			continue // the server also ends the request by a reset of its stream
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		if answer.StatusCode == http.StatusTooManyRequests && attempt < attempts {
			seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
			time.Sleep(time.Duration(max(seconds, 1)) * time.Second)
			continue
		}
		if answer.StatusCode == http.StatusGatewayTimeout && method == http.MethodDelete && attempt < attempts {
			continue
		}
		if answer.StatusCode >= 300 {
			return fmt.Errorf("%s %s: %d %.300s", method, path, answer.StatusCode, text)
		}
		if into == nil {
			return nil
		}
		return json.Unmarshal(text, into)
	}
}

type meta struct {
	Name            string   `json:"name"`
	UID             string   `json:"uid"`
	Generation      int      `json:"generation"`
	ResourceVersion string   `json:"resourceVersion"`
	Finalizers      []string `json:"finalizers"`
	Continue        string   `json:"continue"`
}

// version is a collection's current resource version.
func (k *kube) version(collection string) (string, error) {
	var found struct{ Metadata meta }
	err := k.do(http.MethodGet, collection+"?limit=1", "", nil, &found)
	return found.Metadata.ResourceVersion, err
}

// listing is the event type with which `all` and `watch` report an object of a list.
const listing = "LISTED"

// all passes every object of a collection to `see`, and returns the list's resource version.
func all[T any](k *kube, collection string, see func(kind string, seen *T) bool) (string, error) {
	for page := ""; ; {
		var found struct {
			Metadata meta
			Items    []*T
		}
		if err := k.do(http.MethodGet, collection+"?limit=500&continue="+url.QueryEscape(page), "", nil, &found); err != nil {
			return "", err
		}
		for _, seen := range found.Items {
			see(listing, seen)
		}
		if page = found.Metadata.Continue; page == "" {
			return found.Metadata.ResourceVersion, nil
		}
	}
}

// watch passes every event of a collection to `see`, from a version on, until `see` returns true or time is up. Where the
// server ends the watch, as it does when the client reads too slowly on a busy machine, it lists and watches again.
func watch[T any](k *kube, collection, version string, limit time.Duration, see func(kind string, seen *T) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		done, err := watchOnce(ctx, k, collection, version, see)
		if done || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		fmt.Fprintf(os.Stderr, "the watch on %s has ended, listing again: %v\n", collection, err)
		enough := false
		version, err = all(k, collection, func(kind string, seen *T) bool {
			enough = see(kind, seen)
			return enough
		})
		if enough || err != nil {
			return err
		}
	}
}

func watchOnce[T any](ctx context.Context, k *kube, collection, version string, see func(string, *T) bool) (bool, error) {
	answer, err := k.open(ctx, http.MethodGet, collection+"?watch=1&timeoutSeconds=86400&resourceVersion="+version, "", nil)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s", answer.Status)
	}
	decoder := json.NewDecoder(answer.Body)
	for {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := decoder.Decode(&event); err != nil {
			return false, err
		}
		if event.Type == "ERROR" {
			return false, fmt.Errorf("%s", event.Object)
		}
		seen := new(T)
		if err := json.Unmarshal(event.Object, seen); err != nil {
			return false, err
		}
		if see(event.Type, seen) {
			return true, nil
		}
	}
}
