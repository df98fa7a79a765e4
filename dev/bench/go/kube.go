package main

// A Kubernetes client of the leanest kind: HTTP/2 on one connection, as client-go has it, and nothing decoded that isn't asked for.

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
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

// do sends a request and decodes the answer into `into`, if that isn't nil. A server that asks to wait is waited for.
func (k *kube) do(method, path, contentType string, body []byte, into any) error {
	for attempt := 0; ; attempt++ {
		answer, err := k.open(context.Background(), method, path, contentType, body)
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

// version is the resource version at which a collection is now.
func (k *kube) version(collection string) (string, error) {
	var found struct{ Metadata meta }
	err := k.do(http.MethodGet, collection+"?limit=1", "", nil, &found)
	return found.Metadata.ResourceVersion, err
}

// watch hands every event of a collection to `see`, from a version on, until that says it has seen enough or time is up.
func watch[T any](k *kube, collection, version string, limit time.Duration, see func(kind string, seen *T) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	path := fmt.Sprintf("%s?watch=1&resourceVersion=%s&timeoutSeconds=%d", collection, version, int(limit.Seconds())+60)
	answer, err := k.open(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the watch on %s: %s", collection, answer.Status)
	}
	decoder := json.NewDecoder(answer.Body)
	for {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := decoder.Decode(&event); err != nil {
			return fmt.Errorf("the watch on %s ended: %w", collection, err)
		}
		if event.Type == "ERROR" {
			return fmt.Errorf("the watch on %s: %s", collection, event.Object)
		}
		seen := new(T)
		if err := json.Unmarshal(event.Object, seen); err != nil {
			return err
		}
		if see(event.Type, seen) {
			return nil
		}
	}
}
